"""Cross-check of cell usage with the per-set and per-cycle summaries of the LG M50T set.

Their headers differ from experiment to experiment, so a column is identified by its unit and by agreement with
the performance summary, never by its name alone. Per-cycle capacities, voltages and temperatures do not become
features: in full-window cycling, the last capacity before a check-up is nearly the label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from battery_core.data.sources.base import CellFiles
from battery_core.data.sources.lgm50t.csv_files import Array, numbers, read_table
from battery_core.data.sources.lgm50t.file_names import CYCLE_FILE, SET_FILE, named
from battery_core.data.tables.issues import Issue
from battery_core.errors import DataError
from battery_core.units import convert, split_header

_USAGE = {"throughput_Ah": "Ah", "energy_throughput_Wh": "Wh", "temperature_degC": "degC"}
_SHARE_APART = 0.02  # relative tolerance between two records of a total
_DEGREES_APART = 1.0  # tolerance between two records of a temperature
_FEWEST = 3  # aged check-ups that must agree before a column is used
_MOST = 0.75  # share of the check-ups in both that must agree
_MOST_BLANK = 0.1  # share of cycles without a reading that are bridged


def cross_check_usage(
    raw_dir: Path, cell: CellFiles, checkups: pd.DataFrame, where: str
) -> tuple[pd.DataFrame, list[Issue]]:
    """Fill blanks in the usage of one cell from its set and cycle summaries, and return their disagreements.

    A summary that cannot be read is reported and left out: the performance summary has all required columns.
    """
    issues: list[Issue] = []
    for reader, pattern in ((_by_set, SET_FILE), (_by_cycle, CYCLE_FILE)):
        for path, _ in named(cell.files, pattern):
            try:
                table = read_table(raw_dir / path, where)
                columns = {column: dict(_columns(table, unit, where)) for column, unit in _USAGE.items()}
            except DataError as err:
                issues.append(Issue(cell.cell_id, None, "unread_usage", "", path.name, "flagged", str(err)))
                continue
            for column, candidates in columns.items():
                readings = list(reader(list(candidates.values()), checkups, column == "temperature_degC"))
                checkups, new_issues = _compared(cell.cell_id, checkups, column, readings, path.name)
                issues += new_issues
    return checkups, issues


def _columns(table: pd.DataFrame, unit: str, where: str) -> Iterator[tuple[str, Array]]:
    """Return the columns that measure the same quantity as the unit."""
    for header in map(str, table.columns):
        try:
            convert(0.0, split_header(header)[1], unit)
        except DataError:  # no unit, or one of another quantity
            continue
        yield header, numbers(table[header], header, unit, where)


def _by_set(columns: Sequence[Array], checkups: pd.DataFrame, is_mean: bool) -> Iterator[Array]:
    """Return readings of each column at the check-ups: the value of the set before it, and the running total."""
    index = checkups["checkup_index"].to_numpy(dtype=float)
    for values in columns:
        yield _picked(np.append(np.nan, values), index)  # set number 1 comes before check-up 1
        if not is_mean:
            yield _picked(np.append(np.nan, np.cumsum(values)), index)


def _by_cycle(columns: Sequence[Array], checkups: pd.DataFrame, is_mean: bool) -> Iterator[Array]:
    """Return totals of each column and each pair (charge and discharge) over the cycles before each check-up."""
    if not is_mean:
        whole = [_bridged(values) for values in columns if len(values) and np.isnan(values).mean() <= _MOST_BLANK]
        for values in [*whole, *(a + b for a, b in combinations(whole, 2))]:
            yield _picked(np.append(0.0, np.cumsum(values)), checkups["cycle_count"].to_numpy(dtype=float))


def _picked(values: Array, index: Array) -> Array:
    """Return the values at these positions; missing where there is no such position."""
    inside = index < len(values)  # False for a missing index too
    return np.where(inside, values[np.where(inside, index, 0.0).astype(int)], np.nan)


def _bridged(values: Array) -> Array:
    """Interpolate cycles without a reading between their neighbours."""
    there = ~np.isnan(values)
    bridged: Array = np.interp(np.arange(len(values)), np.flatnonzero(there), values[there])
    return bridged


def _compared(
    cell_id: str, checkups: pd.DataFrame, column: str, readings: Sequence[Array], file: str
) -> tuple[pd.DataFrame, list[Issue]]:
    """Fill blanks of one column from the reading that agrees best, and return the issues."""
    aged, known = checkups["checkup_index"].to_numpy() > 0, checkups[column].to_numpy(dtype=float)
    allowed = np.abs(known) * _SHARE_APART if column != "temperature_degC" else _DEGREES_APART
    best = max(readings, key=lambda r: int((aged & (np.abs(r - known) <= allowed)).sum()), default=None)
    if best is None:
        return checkups, []
    agrees, shared = aged & (np.abs(best - known) <= allowed), aged & ~np.isnan(best) & ~np.isnan(known)
    if agrees.sum() < max(_FEWEST, _MOST * shared.sum()):
        if shared.sum() < _FEWEST:
            return checkups, []
        reason = f"no column of {file} agrees with the performance summary: not used"
        return checkups, [Issue(cell_id, None, "unmatched_usage", column, "", "kept", reason)]
    index = checkups["checkup_index"].to_numpy()
    blank = aged & np.isnan(known) & ~np.isnan(best)
    filled = f"blank in the performance summary: taken from {file}"
    issues = [
        Issue(cell_id, int(index[i]), "filled_usage", column, f"{best[i]:.6g}", "kept", filled)
        for i in np.flatnonzero(blank)
    ]
    issues += [
        Issue(cell_id, int(index[i]), "usage_disagrees", column, f"{known[i]:.6g}", "flagged",
                f"{file} says {best[i]:.6g}: kept as the performance summary has it")
        for i in np.flatnonzero(shared & ~agrees)
    ]  # fmt: skip
    return checkups.assign(**{column: np.where(blank, best, known)}), issues
