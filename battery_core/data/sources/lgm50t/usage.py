"""The per-set and per-cycle summaries of the LG M50T set: a second witness of how a cell was used.

Their headers differ from experiment to experiment, so a column is known by its unit and by agreeing with the
performance summary, never by its name alone. Per-cycle capacities, voltages and temperatures do not become features: in
full-window cycling the last capacity before a check-up nearly is the label.
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
_SHARE_APART = 0.02  # by which two witnesses of a total may differ
_DEGREES_APART = 1.0  # by which two witnesses of a temperature may differ
_FEWEST = 3  # aged check-ups that must agree before a column is believed
_MOST = 0.75  # share of the check-ups known to both that must agree
_MOST_BLANK = 0.1  # share of cycles without a reading that are bridged


def cross_check_usage(
    raw_dir: Path, cell: CellFiles, checkups: pd.DataFrame, where: str
) -> tuple[pd.DataFrame, list[Issue]]:
    """Usage of one cell, blanks filled from its set and cycle summaries, and what these say otherwise.

    A summary that cannot be read is said and left out: the performance summary has all that is needed.
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
            for column, found in columns.items():
                readings = list(reader(list(found.values()), checkups, column == "temperature_degC"))
                checkups, said = _compared(cell.cell_id, checkups, column, readings, path.name)
                issues += said
    return checkups, issues


def _columns(table: pd.DataFrame, unit: str, where: str) -> Iterator[tuple[str, Array]]:
    """Columns that measure the same quantity as the unit."""
    for header in map(str, table.columns):
        try:
            convert(0.0, split_header(header)[1], unit)
        except DataError:  # no unit, or one of another quantity
            continue
        yield header, numbers(table[header], header, unit, where)


def _by_set(columns: Sequence[Array], checkups: pd.DataFrame, is_mean: bool) -> Iterator[Array]:
    """What each column would mean at the check-ups: the value of the set before it, or the total so far."""
    index = checkups["checkup_index"].to_numpy(dtype=float)
    for values in columns:
        yield _picked(np.append(np.nan, values), index)  # set number 1 comes before check-up 1
        if not is_mean:
            yield _picked(np.append(np.nan, np.cumsum(values)), index)


def _by_cycle(columns: Sequence[Array], checkups: pd.DataFrame, is_mean: bool) -> Iterator[Array]:
    """The total of each column, and of each two (charge and discharge), over the cycles before each check-up."""
    if not is_mean:
        whole = [_bridged(values) for values in columns if len(values) and np.isnan(values).mean() <= _MOST_BLANK]
        for values in [*whole, *(a + b for a, b in combinations(whole, 2))]:
            yield _picked(np.append(0.0, np.cumsum(values)), checkups["cycle_count"].to_numpy(dtype=float))


def _picked(values: Array, index: Array) -> Array:
    """Values at these places; missing where there is no such place."""
    inside = index < len(values)  # False for a missing index too
    return np.where(inside, values[np.where(inside, index, 0.0).astype(int)], np.nan)


def _bridged(values: Array) -> Array:
    """Cycles without a reading get what lies between their neighbours."""
    there = ~np.isnan(values)
    bridged: Array = np.interp(np.arange(len(values)), np.flatnonzero(there), values[there])
    return bridged


def _compared(
    cell_id: str, checkups: pd.DataFrame, column: str, readings: Sequence[Array], file: str
) -> tuple[pd.DataFrame, list[Issue]]:
    """The check-ups with blanks of one column filled from the reading that agrees best, and what is to say of it."""
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
