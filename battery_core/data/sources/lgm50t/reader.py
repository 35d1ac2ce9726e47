"""Reader of the LG M50T ageing data set: published folders and CSV files to canonical tables.

Reference: Kirkaldy, Samieian, Offer, Marinescu, Patel 2024, J. Power Sources 603, 234185; Zenodo record 10637534.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from battery_core.data.sources.base import CellFiles, SourceTables, concat_tables
from battery_core.data.sources.lgm50t.csv_files import Array, headers_by_name, name_key, numbers, read_table
from battery_core.data.sources.lgm50t.curves import check_curves, read_curves
from battery_core.data.sources.lgm50t.file_names import (
    CURVE_FILE,
    CYCLE_FILE,
    PROTOCOLS,
    SET_FILE,
    SUMMARY_FILE,
    cell_id,
    group_name,
    named,
    named_files,
)
from battery_core.data.sources.lgm50t.usage import cross_check_usage
from battery_core.data.tables.issues import Issue
from battery_core.data.tables.roles import Role
from battery_core.data.tables.schema import CELL_COLUMNS, CHECKUP_COLUMNS
from battery_core.errors import DataError

NOMINAL_CAPACITY_Ah = 5.0
CHEMISTRY = "NMC811 / graphite-SiOx"
HIGHEST_RESISTANCE_ohm = 10.0  # the published 0.1 s resistances are hundredths of an ohm, or a bad reading
# header without its unit -> (canonical column, its unit); every file must have these
_REQUIRED: Mapping[str, tuple[str, str]] = {
    "Ageing Sets": ("checkup_index", ""),
    "Ageing Cycles": ("cycle_count", ""),
    "Days of degradation": ("time_days", ""),
    "Age set av. temperature": ("temperature_degC", "degC"),
    "Charge Throughput": ("throughput_Ah", "Ah"),
    "Energy Throughput": ("energy_throughput_Wh", "Wh"),
    "C/10 Capacity": ("capacity_Ah", "Ah"),
    "C/2 Capacity": ("capacity_c2_Ah", "Ah"),
    "0.1s Resistance": ("resistance_ohm", "ohm"),
}
# results of the published fit of the same check-up's C/10 curve; a column that is not there is missing values
_FIT_COLUMNS: Mapping[str, tuple[str, str]] = {
    "Cell Capacity": ("cell_capacity_Ah", "Ah"),
    "PE Capacity": ("pe_capacity_Ah", "Ah"),
    "NE Capacity": ("ne_capacity_Ah", "Ah"),
    "NE_Gr Capacity": ("ne_gr_capacity_Ah", "Ah"),
    "NE_Si Capacity": ("ne_si_capacity_Ah", "Ah"),
    "Electrode Offset": ("electrode_offset_Ah", "Ah"),
    "RMSE of OCV-fitting": ("ocv_fit_rmse_V", "V"),
    "SoH": ("published_soh", ""),
    **{
        name: (name.lower().replace(" ", "_"), "")
        for name in (
            "LAM PE", "LAM NE_tot", "LAM NE_Gr", "LAM NE_Si", "LLI", "PE_lo", "NE_lo", "PE_hi", "NE_hi", "Gr_frac",
        )
    },
}  # fmt: skip
_USAGE = ("temperature_degC", "energy_throughput_Wh")
COLUMNS: Mapping[str, Role] = {
    **dict.fromkeys(_USAGE, Role.USAGE),
    "capacity_c2_Ah": Role.LABEL_EQUIVALENT,
    **{column: Role.LABEL_EQUIVALENT for column, _ in _FIT_COLUMNS.values()},
}


def lgm50t_cells(raw_dir: Path, source: str = "lgm50t") -> list[CellFiles]:
    """Return the cells below a folder in the published layout: each with its performance summary and other files.

    A file of a cell that has no performance summary belongs to no cell.

    Raises:
        DataError: no performance summary below the folder, or two for one cell.
    """
    files: dict[str, list[Path]] = {}
    for path, match in named_files(raw_dir, SUMMARY_FILE):
        name = cell_id(match["expt"], match["cell"])
        if name in files:
            raise DataError(f"cell '{name}', source '{source}': two performance summaries - remove {path.name}")
        files[name] = [path]
    if not files:
        raise DataError(
            f"source '{source}': no file 'Expt N - cell X (TTdegC) - Processed Data.csv' below '{raw_dir}' - "
            "unpack the archives there"
        )
    for pattern in (CURVE_FILE, SET_FILE, CYCLE_FILE):
        for path, match in named_files(raw_dir, pattern):
            files.get(cell_id(match["expt"], match["cell"]), []).append(path)
    return [CellFiles(name, tuple(sorted(p.relative_to(raw_dir) for p in files[name]))) for name in sorted(files)]


def read_lgm50t_cell(
    raw_dir: Path, cell: CellFiles, source: str = "lgm50t", chemistry: str = CHEMISTRY
) -> SourceTables:
    """Return the canonical tables of one cell.

    ``group`` is the experiment (``expt5``, ``expt2-2``), a cell id the experiment and the letter (``expt5-A``).
    A 0.1 s resistance above 10 Ohm (or not above zero) is a bad reading: it becomes a missing value, with a finding.

    Raises:
        DataError: one of its files cannot be read.
    """
    where = f"cell '{cell.cell_id}', source '{source}'"
    ((path, match),) = named(cell.files, SUMMARY_FILE)
    about = _cell(cell.cell_id, match["expt"], match["ambient"], source, chemistry)
    checkups, issues = _blank_bad_resistance(_table(cell.cell_id, _read_summary(raw_dir / path, where)))
    checkups, usage_issues = cross_check_usage(raw_dir, cell, checkups, where)
    curves = read_curves(raw_dir, cell, source)
    issues += usage_issues + check_curves(checkups, curves)
    return SourceTables(pd.DataFrame([about]), checkups, curves, issues, len(checkups))


def read_lgm50t(raw_dir: Path, *, source: str = "lgm50t", chemistry: str = CHEMISTRY) -> SourceTables:
    """Return the canonical tables of all cells below a folder, in memory."""
    return concat_tables([read_lgm50t_cell(raw_dir, cell, source, chemistry) for cell in lgm50t_cells(raw_dir, source)])


def _cell(name: str, expt: str, ambient: str, source: str, chemistry: str) -> dict[str, object]:
    protocol = PROTOCOLS.get(expt, f"experiment {expt}")
    values = (name, source, group_name(expt), chemistry, NOMINAL_CAPACITY_Ah, float(ambient), protocol)
    return dict(zip(CELL_COLUMNS, values, strict=True))


def _table(name: str, columns: Mapping[str, Array]) -> pd.DataFrame:
    """Return the check-ups of one cell, columns in canonical order."""
    table = pd.DataFrame({column: columns[column] for column in (*CHECKUP_COLUMNS, *COLUMNS) if column != "cell_id"})
    table["checkup_index"] = table["checkup_index"].astype("int64")
    table.insert(0, "cell_id", name)
    return table


def _read_summary(path: Path, where: str) -> dict[str, Array]:
    """Read one performance summary; find columns by name and convert each from the unit in its header."""
    raw = read_table(path, where)
    headers = headers_by_name(raw)
    table = {}
    for name, (column, unit) in {**_REQUIRED, **_FIT_COLUMNS}.items():
        header = headers.get(name_key(name))
        if header is not None:
            table[column] = numbers(raw[header], header, unit, where)
        elif name in _REQUIRED:
            expected, found = (f"{name} [{unit}]" if unit else name), ", ".join(map(str, raw.columns))
            raise DataError(
                f'{where}: no column "{expected}" in {path.name}; found {found} - '
                "rename it or map it in data/sources/lgm50t.py"
            )
        else:
            table[column] = np.full(len(raw), np.nan)
    if raw.empty:
        raise DataError(f"{where}: {path.name} has a header but no rows - fetch it again or remove it")
    wrong = [value for value in table["checkup_index"] if not (value >= 0 and value.is_integer())]
    if wrong:
        found = "a blank" if np.isnan(wrong[0]) else f"{wrong[0]:g}"
        raise DataError(f'{where}: column "Ageing Sets": expected 0, 1, 2 and so on; found {found} - fill it in')
    return table


def _blank_bad_resistance(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Issue]]:
    values = table["resistance_ohm"]
    is_bad = (values > HIGHEST_RESISTANCE_ohm) | (values <= 0.0)
    reason = f"0.1 s resistance is not between 0 and {HIGHEST_RESISTANCE_ohm:g} Ohm: read as missing"
    issues = [
        Issue(str(cell), int(row), "bad_resistance", "resistance_ohm", f"{value:g}", "flagged", reason)
        for cell, row, value in table.loc[is_bad, ["cell_id", "checkup_index", "resistance_ohm"]].to_numpy().tolist()
    ]
    return table.assign(resistance_ohm=values.mask(is_bad)), issues
