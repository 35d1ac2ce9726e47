"""Reads CSV files of charge statistics into canonical tables; every row is kept, or quarantined with a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
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
_NOT_MEASURED = ("time_days", "throughput_Ah", "resistance_ohm")
_ORDER = (*CHECKUP_COLUMNS, *CHARGE_STATISTICS)


def read_tables(source: str, cell_of_file: Mapping[Path, dict[str, object]]) -> SourceTables:
    """Tables of all cells of a set, from each file and what its name says of the cell.

    Raises:
        DataError: a file cannot be read, has no usable label, or is the second of its cell.
    """
    ids = [str(cell["cell_id"]) for cell in cell_of_file.values()]
    if repeated := {c for c in ids if ids.count(c) > 1}:
        raise DataError(f"source '{source}': two files for cell '{min(repeated)}' - remove one")
    parts = [_read_cell(source, path, str(cell["cell_id"])) for path, cell in cell_of_file.items()]
    rows = pd.concat(parts, ignore_index=True)
    bad = ~np.isfinite(rows[list(COLUMNS.values())].to_numpy())
    findings = _non_finite(rows, bad)
    checkups = rows[~bad.any(axis=1)].reset_index(drop=True)
    cells = pd.DataFrame(list(cell_of_file.values()))[list(CELL_COLUMNS)]
    bare = ~cells["cell_id"].isin(checkups["cell_id"].unique())
    findings += [
        Finding(
            str(c), None, "no_checkup", "", "", "quarantined", "every row of this cell is quarantined: no cell left"
        )
        for c in cells["cell_id"][bare]
    ]
    assert len(rows) == len(checkups) + len({(f.cell_id, f.row) for f in findings if f.row is not None})
    return SourceTables(cells[~bare].reset_index(drop=True), checkups, None, findings, len(rows))


def _read_cell(source: str, path: Path, cell_id: str) -> pd.DataFrame:
    where = f"cell '{cell_id}', source '{source}'"
    table = _read_csv(where, path)
    if table.num_rows == 0:
        raise DataError(f"{where}: {path.name} has a header but no rows - fetch it again or remove it")
    data = {COLUMNS[name]: table.column(name).to_numpy() for name in COLUMNS}
    if not np.isfinite(data["capacity_Ah"]).any():
        raise DataError(
            f"{where}: column 'capacity' has no finite value in {table.num_rows} rows; expected Ah - without a "
            "label the cell cannot be used: mend or remove the file"
        )
    index = np.arange(table.num_rows)
    frame = pd.DataFrame({**data, **dict.fromkeys(_NOT_MEASURED, np.nan)})
    return frame.assign(cell_id=cell_id, checkup_index=index, cycle_count=index + 1.0)[list(_ORDER)]


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
