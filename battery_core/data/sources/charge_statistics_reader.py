"""Reads CSV files of charge statistics into canonical tables; every row is kept, or quarantined with a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv

from battery_core.data.quality import Finding
from battery_core.data.schema import CELL_COLUMNS, CHECKUP_COLUMNS
from battery_core.data.sources.base import CHARGE_STATISTICS, SourceTables
from battery_core.errors import DataError

# header in the public files -> canonical name; charges are in Ah and times in s there
COLUMNS: Mapping[str, str] = {
    "voltage mean": "voltage_mean_V",
    "voltage std": "voltage_std_V",
    "voltage kurtosis": "voltage_kurtosis",
    "voltage skewness": "voltage_skewness",
    "CC Q": "cc_charge_Ah",
    "CC charge time": "cc_time_s",
    "voltage slope": "voltage_slope_V_per_s",
    "voltage entropy": "voltage_entropy",
    "current mean": "current_mean_A",
    "current std": "current_std_A",
    "current kurtosis": "current_kurtosis",
    "current skewness": "current_skewness",
    "CV Q": "cv_charge_Ah",
    "CV charge time": "cv_time_s",
    "current slope": "current_slope_A_per_s",
    "current entropy": "current_entropy",
    "capacity": "capacity_Ah",
}
Array = npt.NDArray[np.float64]
_NUMBERS = pd.Index([*CHECKUP_COLUMNS[2:], *CHARGE_STATISTICS], dtype=object)  # made once: it costs as much as a read
_FACTS = pd.Index(CELL_COLUMNS, dtype=object)


def read_cell(path: Path, cell: Mapping[str, object]) -> SourceTables:
    """Tables of one cell, from its file and its row of the cells table.

    Raises:
        DataError: the file cannot be read, or has no usable label.
    """
    name = str(cell["cell_id"])
    numbers = _read_numbers(f"cell '{name}', source '{cell['source']}'", path)
    rows = _table(name, numbers)
    cells = pd.DataFrame([[cell[column] for column in CELL_COLUMNS]], columns=_FACTS, dtype=object)
    are_bad = {column: ~np.isfinite(values) for column, values in numbers.items()}
    if not any(bad.any() for bad in are_bad.values()):
        return SourceTables(cells, rows, rows_read=len(rows))
    is_bad = np.stack(list(are_bad.values()), axis=1)
    out: npt.NDArray[np.bool_] = np.any(is_bad, axis=1)
    findings = _non_finite(rows, is_bad)
    if out.all():
        reason = "every row of this cell is quarantined: no cell left"
        findings.append(Finding(name, None, "no_checkup", "", "", "quarantined", reason))
    return SourceTables(
        cells=cells.iloc[:0] if out.all() else cells,
        checkups=rows[~out].reset_index(drop=True),
        findings=findings,
        rows_read=len(rows),
        quarantined=rows[out].reset_index(drop=True),
    )


def _table(cell_id: str, numbers: Mapping[str, Array]) -> pd.DataFrame:
    """One check-up a cycle, columns in canonical order; its numbers are one block, which pandas joins at once."""
    n = len(numbers["capacity_Ah"])
    index = np.arange(n)
    known = {"cycle_count": index + 1.0, **numbers}
    block = np.empty((len(_NUMBERS), n))
    for values, column in zip(block, _NUMBERS, strict=True):
        values[:] = known.get(column, np.nan)
    rows = pd.DataFrame(block.T, columns=_NUMBERS, copy=False)
    rows.insert(0, "checkup_index", index)
    rows.insert(0, "cell_id", pd.array(pa.repeat(cell_id, n), dtype="str"))  # thrice as quick as the bare word
    return rows


def _read_numbers(where: str, path: Path) -> dict[str, Array]:
    """Each column of a file by its canonical name."""
    table = _read_csv(where, path)
    if table.num_rows == 0:
        raise DataError(f"{where}: {path.name} has a header but no rows - fetch it again or remove it")
    numbers = {COLUMNS[name]: table.column(name).to_numpy() for name in COLUMNS}
    if not np.isfinite(numbers["capacity_Ah"]).any():
        raise DataError(
            f"{where}: column 'capacity' has no finite value in {table.num_rows} rows; expected Ah - without a "
            "label the cell cannot be used: mend or remove the file"
        )
    return numbers


def _read_csv(where: str, path: Path) -> pa.Table:
    """The known columns of one file as float64; a blank field is a missing value."""
    types = pacsv.ConvertOptions(
        column_types=dict.fromkeys(COLUMNS, pa.float64()), include_columns=list(COLUMNS), include_missing_columns=False
    )
    try:
        return pacsv.read_csv(path, convert_options=types, read_options=pacsv.ReadOptions(use_threads=False))
    except (pa.ArrowInvalid, pa.ArrowKeyError) as err:
        raise DataError(_what_is_wrong(where, path, str(err))) from err


def _what_is_wrong(where: str, path: Path, reason: str) -> str:
    """Look again at a file that could not be read, for a person."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        header = [name.strip().strip('"') for name in lines.readline().split(",")]
    if missing := [name for name in COLUMNS if name not in header]:
        found = ", ".join(header)[:300] or "an empty file"
        return f'{where}: no column "{missing[0]}" in {path.name}; found {found} - rename it or fetch the file again'
    if field := re.search(r"column #(\d+).*Row #(\d+).*invalid value (.*)", reason):
        column, line, value = header[int(field[1])], field[2], field[3]
        return (
            f'{where}: {path.name}, line {line}: column "{column}" is {value}; expected a number - mend that field or '
            "leave it blank"
        )
    return f"{where}: {path.name} is not a whole CSV file ({reason}) - fetch it again"


def _non_finite(rows: pd.DataFrame, bad: Any) -> list[Finding]:
    names = list(COLUMNS.values())
    findings = []
    index = rows["checkup_index"].to_numpy()
    for i, j in zip(*np.nonzero(bad), strict=True):
        cell, row = str(rows["cell_id"].iloc[i]), int(index[i])
        value = str(rows[names[j]].iloc[i])
        reason = f"{names[j]} is {value}: not a measured number"
        findings.append(Finding(cell, row, "non_finite", names[j], value, "quarantined", reason))
    return findings
