"""Rules on the check-ups of one cell; no rule looks at another cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from battery_core.data.tables.cell_rows import CellRows, Integers, Numbers
from battery_core.data.tables.fast_check import are_in_order
from battery_core.data.tables.issues import Issue, first_of_cells, of_rows
from battery_core.data.tables.labels import fractions
from battery_core.errors import DataError

if TYPE_CHECKING:
    from battery_core.data.settings import DataSettings

_ROUNDING = 1e-9  # a step of exactly the limit is not over it
_MONOTONIC = ("cycle_count", "time_days", "throughput_Ah")
_NOT_MEASURED = {"cell_id", "checkup_index", *_MONOTONIC}
_LEAST_COLUMNS = 3  # that must agree before two check-ups count as one measurement written twice
_POSSIBLE = (0.05, 20.0)  # capacity / nominal capacity of any cell, however aged; outside, a unit is wrong
_THOUSAND = (200.0, 5000.0)
_KELVIN = (230.0, 400.0)
_TEMPERATURES = ("temperature_degC", "temperature_mean_degC")


@dataclass(frozen=True)
class Checked:
    """Store check-ups after the rules: every input row is usable or quarantined.

    Args:
        checkups: rows with a usable label, sorted by cell (as they came) and check-up.
        quarantined: rows that cannot be scored, or are there twice.
        issues: everything that looks wrong.
        rows: the usable rows, as numbers.
    """

    checkups: pd.DataFrame
    quarantined: pd.DataFrame
    issues: list[Issue]
    rows: CellRows


def check_rows(
    cells: pd.DataFrame, checkups: pd.DataFrame, settings: DataSettings, numbered: tuple[Integers, Any] | None = None
) -> Checked:
    """Apply every rule to the check-ups of one cell or of several, cell by cell.

    Only a row that cannot be scored (no finite, positive capacity) or that is there twice is taken out. A suspicious
    label is flagged but not removed: cleaning test rows by the label would understate the error.

    Args:
        cells: one row a cell.
        checkups: the check-ups.
        settings: what is plausible.
        numbered: the number of each check-up's cell, and the cells by that number, where they are at hand.

    Raises:
        DataError: a cell has no usable label at all, or its capacity or temperature is in another unit.
    """
    capacity = checkups["capacity_Ah"].to_numpy(dtype=float)
    unusable = ~(np.isfinite(capacity) & (capacity > 0))
    codes, names = numbered or pd.factorize(checkups["cell_id"])  # from here on, cells are numbers: quick to compare
    repeated = _repeated(codes, checkups["checkup_index"].to_numpy()) & ~unusable
    nothing, twice = "capacity is not a positive number: nothing to score", "this check-up of this cell is there before"
    issues = [
        *of_rows(checkups, unusable, "no_label", "capacity_Ah", "quarantined", nothing),
        *of_rows(checkups, repeated, "repeated_checkup", "checkup_index", "quarantined", twice),
    ]
    out = unusable | repeated
    _check_cells_have_labels(names, codes[~out])
    is_whole = not out.any()  # as nearly always: nothing is copied
    usable, codes = _in_order(checkups, codes) if is_whole else _in_order(checkups[~out], codes[~out])
    rows = CellRows.of(usable, codes, names)
    for rule in (_unit_issues, _implausible_labels, _non_monotonic, _repeated_measurements, _set_point_deviations):
        issues += rule(cells, rows, settings)
    return Checked(usable, checkups.iloc[:0] if is_whole else checkups[out], issues, rows)


def _repeated(codes: Any, index: Any) -> Any:
    """Return whether the same check-up of the same cell is in an earlier row."""
    if are_in_order(codes, index, strictly=True):
        return np.zeros(len(codes), dtype=bool)
    return pd.DataFrame({"cell": codes, "index": index}).duplicated().to_numpy()


def _in_order(rows: pd.DataFrame, codes: Any) -> tuple[pd.DataFrame, Any]:
    """Return the rows with each cell's check-ups in order, and the cell of each row; cells keep their order."""
    index = rows["checkup_index"].to_numpy()
    if not are_in_order(codes, index):
        order = np.lexsort((index, codes))
        rows, codes = rows.iloc[order], codes[order]
    is_numbered = isinstance(rows.index, pd.RangeIndex) and rows.index.start == 0 and rows.index.step == 1
    return rows if is_numbered else rows.reset_index(drop=True), codes


def _check_cells_have_labels(names: Any, codes: Integers) -> None:
    counts = np.bincount(codes, minlength=len(names))
    if unlabelled := sorted(str(name) for name, count in zip(names, counts, strict=True) if count == 0):
        raise DataError(
            f"cell '{unlabelled[0]}': no check-up has a usable capacity_Ah (all missing, infinite or not positive)"
            f"{f', nor in {len(unlabelled) - 1} more cells' if len(unlabelled) > 1 else ''} - "
            "correct the label column in the raw file or remove the file"
        )


def _unit_issues(cells: pd.DataFrame, rows: CellRows, settings: DataSettings) -> list[Issue]:
    """Refuse a capacity that no cell of its nominal capacity can have: a unit is wrong."""
    nominal = _by_cell(cells, "nominal_capacity_Ah", rows)
    nominal[nominal <= 0] = np.nan  # refused where SOH is computed
    low, high, _ = rows.ranges["capacity_Ah"]
    for i in _candidates(low / nominal < _POSSIBLE[0], high / nominal > _POSSIBLE[1]):
        median = rows.median("capacity_Ah", i)
        ratio = median / nominal[i]
        if ratio < _POSSIBLE[0] or ratio > _POSSIBLE[1]:
            raise DataError(
                f"cell '{rows.names[i]}': median capacity_Ah is {median:.6g}, {ratio:.3g} times the nominal "
                f"{nominal[i]:.6g} Ah; expected {_POSSIBLE[0]:g} to {_POSSIBLE[1]:g} times - {_likely_error(ratio)}"
            )
    return []


def _candidates(*signs: Any) -> list[int]:
    """Return cells whose lowest or highest value is out of bounds: only there the median may be, and is computed."""
    return [int(i) for i in np.flatnonzero(np.logical_or.reduce(signs))]


def _likely_error(ratio: float) -> str:
    if _THOUSAND[0] <= ratio <= _THOUSAND[1]:
        return "the capacity is likely in mAh: state the unit in its header or column map"
    if _THOUSAND[0] <= 1 / ratio <= _THOUSAND[1]:
        return "the nominal capacity is likely in mAh, or the capacity was divided by 1000 twice: state the units"
    return "check the unit of the capacity and the nominal capacity of this cell"


def _implausible_labels(cells: pd.DataFrame, rows: CellRows, settings: DataSettings) -> list[Issue]:
    """Flag labels outside the plausible range, and steps that are a knee or a fault."""
    capacity = rows.columns["capacity_Ah"]
    first = capacity[rows.starts] if settings.soh_reference == "first_checkup" else None
    nominal = _by_cell(cells, "nominal_capacity_Ah", rows) if first is None else first
    references = dict(zip(rows.names, nominal.tolist(), strict=True))
    value = fractions(capacity, rows.codes, rows.names, references, settings.soh_reference)
    implausible = (value < settings.soh_min) | (value > settings.soh_max)
    step = rows.step(value)
    wide = f"SOH outside {settings.soh_min:g} to {settings.soh_max:g}"
    steep = f"SOH step of more than {settings.soh_max_step:g} since the check-up before, a knee or a fault,"
    return [
        *first_of_cells(rows, implausible, value, "soh_range", "capacity_Ah", wide),
        *first_of_cells(rows, np.abs(step) > settings.soh_max_step + _ROUNDING, step, "soh_step", "capacity_Ah", steep),
    ]


def _non_monotonic(cells: pd.DataFrame, rows: CellRows, settings: DataSettings) -> list[Issue]:
    """Flag time, cycles and throughput that decrease from one check-up to the next."""
    issues = []
    for column in _MONOTONIC:
        if column in rows.columns:
            step = rows.step(rows.columns[column])
            issues += first_of_cells(rows, step < -_ROUNDING, step, "non_monotonic", column, f"{column} decreases")
    return issues


def _repeated_measurements(cells: pd.DataFrame, rows: CellRows, settings: DataSettings) -> list[Issue]:
    """Flag check-ups with the numbers of the previous one: one measurement under two check-up numbers."""
    columns = [values for name, values in rows.columns.items() if name not in _NOT_MEASURED]
    if len(columns) < _LEAST_COLUMNS:
        return []
    capacity = rows.columns["capacity_Ah"]
    same = rows.step(capacity) == 0  # few have the same capacity: the rest is compared only there
    places = np.flatnonzero(same)
    if not len(places):
        return []
    now, before = (np.stack([values[some] for values in columns], axis=1) for some in (places, places - 1))
    is_measured = ~np.isnan(now)
    same[places] = ((now == before) | (~is_measured & np.isnan(before))).all(axis=1) & (
        is_measured.sum(axis=1) >= _LEAST_COLUMNS
    )
    text = "every measured number is that of the check-up before"
    return first_of_cells(rows, same, capacity, "same_as_before", "capacity_Ah", text)


def _set_point_deviations(cells: pd.DataFrame, rows: CellRows, settings: DataSettings) -> list[Issue]:
    """Flag a measured temperature far from the set-point of the chamber; refuse kelvin."""
    issues = []
    set_points = _by_cell(cells, "ambient_temperature_degC", rows)
    most = settings.max_temperature_offset_K
    for column in [name for name in rows.columns if name.endswith(_TEMPERATURES)]:
        low, high, _ = rows.ranges[column]
        for i in _candidates(high >= _KELVIN[0], low - set_points < -most, high - set_points > most):
            cell, median = rows.names[i], rows.median(column, i)
            if _KELVIN[0] <= median <= _KELVIN[1]:
                raise DataError(
                    f"cell '{cell}': median {column} is {median:.4g}; expected degC - likely kelvin: state the unit in "
                    "its header or column map"
                )
            off = median - set_points[i]
            if abs(off) > most:
                reason = f"median {column} is {off:+.1f} K off the set-point of {set_points[i]:g} degC: kept"
                issues.append(Issue(cell, None, "off_set_point", column, f"{median:.4g}", "flagged", reason))
    return issues


def _by_cell(cells: pd.DataFrame, column: str, rows: CellRows) -> Numbers:
    """Return a column of the table of cells by cell, NaN where it has no value; shape (cells,)."""
    values = dict(zip(cells["cell_id"].tolist(), cells[column].tolist(), strict=True)) if column in cells else {}
    return np.array([values.get(name, np.nan) for name in rows.names], dtype=float)
