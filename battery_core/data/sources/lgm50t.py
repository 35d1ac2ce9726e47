"""Reader of the LG M50T ageing data set: folders and CSV files as published, canonical tables out.

Reference: Kirkaldy, Samieian, Offer, Marinescu, Patel 2024, J. Power Sources 603, 234185; Zenodo record 10637534.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.data.quality import Finding
from battery_core.data.schema import CELL_COLUMNS, CHECKUP_COLUMNS
from battery_core.data.sources.base import CellFiles, Role, SourceTables, concat_tables
from battery_core.data.sources.lgm50t_curves import read_curves
from battery_core.data.sources.lgm50t_names import (
    CURVE_FILE,
    PROTOCOLS,
    SUMMARY_FILE,
    cell_id,
    group_name,
    named,
    named_files,
)
from battery_core.errors import DataError
from battery_core.units import convert, split_header

Array = npt.NDArray[np.float64]
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
_FITTED: Mapping[str, tuple[str, str]] = {
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
    **{column: Role.LABEL_EQUIVALENT for column, _ in _FITTED.values()},
}


def lgm50t_cells(raw_dir: Path, source: str = "lgm50t") -> list[CellFiles]:
    """The cells below a folder laid out like the published archives: a performance summary each, and its curves.

    A curve of a cell that has no summary belongs to no cell.

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
    for path, match in named_files(raw_dir, CURVE_FILE):
        files.get(cell_id(match["expt"], match["cell"]), []).append(path)
    return [CellFiles(name, tuple(sorted(p.relative_to(raw_dir) for p in files[name]))) for name in sorted(files)]


def read_lgm50t_cell(
    raw_dir: Path, cell: CellFiles, source: str = "lgm50t", chemistry: str = CHEMISTRY
) -> SourceTables:
    """Canonical tables of one cell.

    ``group`` is the experiment (``expt5``, ``expt2-2``), a cell id the experiment and the letter (``expt5-A``).
    A 0.1 s resistance above 10 Ohm (or not above zero) is a bad reading: it becomes a missing value, with a finding.

    Raises:
        DataError: one of its files cannot be read.
    """
    where = f"cell '{cell.cell_id}', source '{source}'"
    ((path, match),) = named(cell.files, SUMMARY_FILE)
    about = _cell(cell.cell_id, match["expt"], match["ambient"], source, chemistry)
    checkups, findings = _blank_bad_resistance(_table(cell.cell_id, _read_summary(raw_dir / path, where)))
    curves = read_curves(raw_dir, cell, source)
    return SourceTables(pd.DataFrame([about]), checkups, curves, findings, len(checkups))


def read_lgm50t(raw_dir: Path, *, source: str = "lgm50t", chemistry: str = CHEMISTRY) -> SourceTables:
    """Canonical tables of all cells below a folder, in memory."""
    return concat_tables([read_lgm50t_cell(raw_dir, cell, source, chemistry) for cell in lgm50t_cells(raw_dir, source)])


def _cell(name: str, expt: str, ambient: str, source: str, chemistry: str) -> dict[str, object]:
    protocol = PROTOCOLS.get(expt, f"experiment {expt}")
    values = (name, source, group_name(expt), chemistry, NOMINAL_CAPACITY_Ah, float(ambient), protocol)
    return dict(zip(CELL_COLUMNS, values, strict=True))


def _table(name: str, columns: Mapping[str, Array]) -> pd.DataFrame:
    """One cell's check-ups, columns in canonical order."""
    table = pd.DataFrame({column: columns[column] for column in (*CHECKUP_COLUMNS, *COLUMNS) if column != "cell_id"})
    table["checkup_index"] = table["checkup_index"].astype("int64")
    table.insert(0, "cell_id", name)
    return table


def _read_summary(path: Path, where: str) -> dict[str, Array]:
    """One performance summary: columns found by name, each converted from the unit its header states."""
    raw = _read_csv(path, where)
    headers = {_key(split_header(str(header))[0]): str(header) for header in raw.columns}
    table = {}
    for name, (column, unit) in {**_REQUIRED, **_FITTED}.items():
        header = headers.get(_key(name))
        if header is not None:
            table[column] = _numbers(raw[header], header, unit, where)
        elif name in _REQUIRED:
            expected, found = (f"{name} [{unit}]" if unit else name), ", ".join(map(str, raw.columns))
            raise DataError(
                f'{where}: no column "{expected}" in {path.name}; found {found} - '
                "rename it or map it in data/sources/lgm50t.py"
            )
        else:
            table[column] = np.full(len(raw), np.nan)
    if np.isnan(table["checkup_index"]).any():
        raise DataError(f'{where}: column "Ageing Sets": expected 0, 1, 2 and so on; found a blank - fill it in')
    return table


def _read_csv(path: Path, where: str) -> pd.DataFrame:
    for encoding in ("utf-8-sig", "cp1252"):  # the degree sign of one header decides
        try:
            return pd.read_csv(path, encoding=encoding).dropna(how="all")
        except UnicodeDecodeError:
            continue
        except (pd.errors.EmptyDataError, pd.errors.ParserError) as err:
            raise DataError(f"{where}: {path.name} is not a CSV table ({err}) - fetch it again") from err
    raise DataError(f"{where}: {path.name} is not text; expected UTF-8 - fetch it again")


def _numbers(values: pd.Series[float], header: str, unit: str, where: str) -> Array:
    """One column as numbers in the wanted unit; a blank is a missing value, a word is refused."""
    stated = split_header(header)[1]
    if unit and not stated:
        raise DataError(
            f'{where}: column "{header}": expected its unit, like [{unit}]; found none - add it to the header'
        )
    try:
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except ValueError as err:
        raise DataError(f'{where}: column "{header}": expected numbers; found a word ({err}) - mend it') from err
    try:
        return np.asarray(convert(numbers, stated, unit) if unit else numbers, dtype=np.float64)
    except DataError as err:
        raise DataError(f'{where}: column "{header}": {err}') from err


def _key(name: str) -> str:
    return " ".join(name.lower().split())


def _blank_bad_resistance(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    values = table["resistance_ohm"]
    is_bad = (values > HIGHEST_RESISTANCE_ohm) | (values <= 0.0)
    reason = f"0.1 s resistance is not between 0 and {HIGHEST_RESISTANCE_ohm:g} Ohm: read as missing"
    findings = [
        Finding(str(cell), int(row), "bad_resistance", "resistance_ohm", f"{value:g}", "flagged", reason)
        for cell, row, value in table.loc[is_bad, ["cell_id", "checkup_index", "resistance_ohm"]].to_numpy().tolist()
    ]
    return table.assign(resistance_ohm=values.mask(is_bad)), findings
