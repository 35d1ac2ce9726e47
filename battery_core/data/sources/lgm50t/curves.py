"""Reader of the LG M50T 0.1C discharge curves: hundreds of small files, one per check-up."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv

from battery_core.data.sources.base import CellFiles
from battery_core.data.sources.lgm50t.file_names import CURVE_FILE, named
from battery_core.data.tables.issues import Issue
from battery_core.data.tables.schema import CURVE_COLUMNS
from battery_core.errors import DataError
from battery_core.units import convert, split_header

# header without its unit -> (canonical column, its unit)
_COLUMNS = {
    "Time": ("time_s", "s"),
    "Voltage": ("voltage_V", "V"),
    "Current": ("current_A", "A"),
    "Charge": ("capacity_Ah", "Ah"),
    "Temperature": ("temperature_degC", "degC"),
}
_MOST_APART = 0.02  # share of the C/10 capacity
_APART = f"more than {_MOST_APART:.0%} from the charge that its 0.1C curve counts: kept"
_ORPHAN = "a 0.1C curve of a check-up that the performance summary does not have: kept"
# a file is a few kilobytes: threads cost more than they bring
_READ, _READ_CP1252 = (pacsv.ReadOptions(use_threads=False, encoding=name) for name in ("utf8", "cp1252"))


def read_curves(raw_dir: Path, cell: CellFiles, source: str) -> pd.DataFrame | None:
    """Read all 0.1C discharge curves of a cell, by check-up; return None where there is none.

    Current stays negative on discharge, as in the files; ``capacity_Ah`` is the charge passed since the curve began,
    counted up from zero whatever sign the file gives it.

    Raises:
        DataError: a file lacks a column, or holds something that is not a number.
    """
    file_headers = sorted((int(match["rpt"]), path) for path, match in named(cell.files, CURVE_FILE))
    if not file_headers:
        return None
    curves = [_read_curve(raw_dir / path, f"cell '{cell.cell_id}', source '{source}'") for _, path in file_headers]
    table = pd.DataFrame(
        {column: np.concatenate([curve[column] for curve in curves]) for column, _ in _COLUMNS.values()}
    )
    table["cell_id"] = cell.cell_id
    indices = np.array([index for index, _ in file_headers], dtype="int64")
    table["checkup_index"] = np.repeat(indices, [len(curve["time_s"]) for curve in curves])
    table["half_cycle"] = "discharge"
    return table[list(CURVE_COLUMNS)]


def check_curves(checkups: pd.DataFrame, curves: pd.DataFrame | None) -> list[Issue]:
    """Return issues of curves and check-ups of one cell: one without the other, or another C/10 capacity."""
    if curves is None:
        return []
    name, passed = str(checkups["cell_id"].iloc[0]), curves.groupby("checkup_index")["capacity_Ah"].max()
    capacity = checkups.drop_duplicates("checkup_index").set_index("checkup_index")["capacity_Ah"]
    both = passed.index.intersection(capacity.dropna().index)
    apart = (passed[both] / capacity[both] - 1.0).abs()
    return [
        *(
            Issue(name, int(i), "checkup_without_curve", "capacity_Ah", "", "kept", "no 0.1C curve of this check-up")
            for i in capacity.index.difference(passed.index)
        ),
        *(
            Issue(name, int(i), "curve_without_checkup", "capacity_Ah", f"{passed[i]:.6g}", "flagged", _ORPHAN)
            for i in passed.index.difference(capacity.index)
        ),
        *(
            Issue(name, int(i), "curve_capacity", "capacity_Ah", f"{capacity[i]:.6g}", "flagged", _APART)
            for i in both[(apart > _MOST_APART).to_numpy()]
        ),
    ]


def _read_curve(path: Path, where: str) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    try:
        table, names = _read_table(path)
        headers, missing = _headers(names)
        if missing is not None:
            raise DataError(
                f'{where}: no column "{missing}" in {path.name}; found {", ".join(names)} - '
                "rename it or map it in data/sources/lgm50t_curves.py"
            )
        curve = {
            column: convert(table.column(header).cast(pa.float64()).to_numpy(), stated, unit)
            for header, column, stated, unit in headers
        }
    except pa.ArrowInvalid as err:
        raise DataError(
            f"{where}: {path.name} cannot be read as numbers ({err}) - mend that field or fetch it again"
        ) from err
    curve["capacity_Ah"] = np.abs(curve["capacity_Ah"] - curve["capacity_Ah"][:1])
    return curve


def _read_table(path: Path) -> tuple[pa.Table, tuple[str, ...]]:
    table = pacsv.read_csv(path, read_options=_READ)
    try:
        return table, tuple(table.column_names)
    except UnicodeDecodeError:  # a degree sign of another encoding
        table = pacsv.read_csv(path, read_options=_READ_CP1252)
        return table, tuple(table.column_names)


@cache
def _headers(file_headers: tuple[str, ...]) -> tuple[list[tuple[str, str, str, str]], str | None]:
    """Return header, canonical name, stated and wanted unit of each column, or the first header not found."""
    stated = {split_header(header)[0].lower(): (header, split_header(header)[1]) for header in file_headers}
    for name, (_, unit) in _COLUMNS.items():
        if name.lower() not in stated:
            return [], f"{name} ({unit})"
    return [(stated[n.lower()][0], column, stated[n.lower()][1], unit) for n, (column, unit) in _COLUMNS.items()], None
