"""Analysis of the files of a cell: its record, voltage window, half cycles, check-ups and issues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from battery_core.data.cycler_settings import CyclerSettings
from battery_core.data.cycling import checkups as rules
from battery_core.data.cycling.checkups import CheckUp, Window
from battery_core.data.cycling.half_cycles import HalfCycle, half_cycles
from battery_core.data.cycling.record import SECONDS_PER_HOUR, Record, passed_charge
from battery_core.data.sources.cycler_folder.cells import CellMetadata
from battery_core.data.sources.cycler_folder.files import Export, read_export
from battery_core.data.sources.cycler_folder.join import join
from battery_core.data.tables.issues import Issue
from battery_core.errors import DataError

SOURCE = "cycler_folder"
_OUTSIDE_V = 0.1  # beyond a stated cut-off: a wrong cut-off, or an abused cell
_REFUSED_RATIO = 0.3  # charge and discharge that differ so much in most cycles are no measurement
_SAME_RATE = 2.0


@dataclass(frozen=True)
class CellAnalysis:
    """Store the record of one cell and the results of its analysis."""

    metadata: CellMetadata
    exports: Sequence[Export]
    record: Record
    signs: tuple[str, ...]
    window: Window
    halves: list[HalfCycle]
    checkups: list[CheckUp]
    broken: list[bool]
    issues: list[Issue]


def analyse_cell(metadata: CellMetadata, files: Sequence[Path], settings: CyclerSettings) -> CellAnalysis:
    """Read, check and join the files of a cell, and find its half cycles and check-ups.

    Raises:
        DataError: a file cannot be read, or its columns are implausible.
    """
    where = f"cell '{metadata.cell_id}', source '{SOURCE}'"
    exports = [read_export(file, settings, where) for file in files]
    joined = join(metadata.cell_id, exports, metadata.nominal_capacity_Ah, settings, where)
    record, nominal = joined.record, metadata.nominal_capacity_Ah
    halves = half_cycles(
        record,
        nominal,
        rest_current=settings.rest_current,
        min_half_cycle=settings.min_half_cycle,
        max_gap_s=settings.max_gap_s,
    )
    window, messages = _window(metadata, record, [h for h in halves if h.stop < joined.first_file_rows], settings)
    checkups = rules.find_checkups(halves, window, nominal, settings.checkup_rule, settings.low_rate)
    issues = [*joined.issues, *messages, *_unbalanced(metadata, halves, window, settings, exports[0], where)]
    issues += _holes(metadata, record, settings)
    issues += (
        _rates(metadata, checkups, settings) if checkups else [_no_checkup_issue(metadata, halves, window, settings)]
    )
    broken = [checkup.discharge.has_hole for checkup in checkups]
    return CellAnalysis(metadata, exports, record, joined.signs, window, halves, checkups, broken, issues)


def _window(
    metadata: CellMetadata, record: Record, first: Sequence[HalfCycle], settings: CyclerSettings
) -> tuple[Window, list[Issue]]:
    """Return the stated cut-offs; a missing one is the median end of the half cycles in the first file.

    Later files never change it, so that a check-up stays one.
    """
    lower = metadata.lower_cutoff_V or settings.lower_cutoff_V
    upper = metadata.upper_cutoff_V or settings.upper_cutoff_V
    is_measured = lower is None or upper is None
    if lower is None:
        lower = float(
            np.median([half.lowest_V for half in first if half.kind == "discharge"] or record.voltage_V.min())
        )
    if upper is None:
        upper = float(np.median([h.highest_V for h in first if h.kind == "charge"] or record.voltage_V.max()))
    window = Window(lower, upper, settings.cutoff_tolerance_V, is_measured)
    issues = []
    span = f"{window.lower_V:.3f} to {window.upper_V:.3f} V"
    if window.measured:
        text = f"cut-offs not stated: {span} counts as full, as in the cell's first file; state them in the cells table"
        issues.append(Issue(metadata.cell_id, None, "window_from_data", "voltage_V", span, "kept", text))
    low, high = float(record.voltage_V.min()), float(record.voltage_V.max())
    if low < window.lower_V - _OUTSIDE_V or high > window.upper_V + _OUTSIDE_V:
        text = f"voltage reaches {low:.3f} to {high:.3f} V, outside the window of {span}: is the cut-off right?"
        issues.append(Issue(metadata.cell_id, None, "outside_window", "voltage_V", f"{low:.3f}", "flagged", text))
    return window, issues


def _unbalanced(
    metadata: CellMetadata,
    halves: Sequence[HalfCycle],
    window: Window,
    settings: CyclerSettings,
    first: Export,
    where: str,
) -> list[Issue]:
    """Return an issue where charge in and charge out differ between full charges; refuse a large difference."""
    ratios = np.array([ratio for _, ratio in rules.coulomb_ratios(halves, window)])
    if len(ratios) == 0:
        return []
    middle = float(np.median(ratios))
    if abs(middle - 1.0) > _REFUSED_RATIO:
        raise DataError(
            f"{where}, file '{first.name}', column '{first.columns['current_A'].header}': expected as "
            f"much charge in as out between full charges, got {middle:.2f} in for 1 out - "
            "is one direction in another unit or range?"
        )
    off = np.flatnonzero(np.abs(ratios - 1.0) > settings.coulomb_tolerance)
    if len(off) == 0:
        return []
    text = (
        f"in {len(off)} of {len(ratios)} cycles charge and discharge differ by more than "
        f"{settings.coulomb_tolerance:.0%} (worst: {ratios[np.abs(ratios - 1.0).argmax()]:.3f} back for 1 out)"
    )
    return [Issue(metadata.cell_id, None, "coulomb_balance", "current_A", f"{middle:.4f}", "flagged", text)]


def _holes(metadata: CellMetadata, record: Record, settings: CyclerSettings) -> list[Issue]:
    _, hole = passed_charge(record, settings.max_gap_s, settings.rest_current * metadata.nominal_capacity_Ah)
    if not hole.any():
        return []
    hours = float(np.diff(record.time_s)[hole].sum()) / SECONDS_PER_HOUR
    text = f"{int(hole.sum())} hole(s) in the record under current, {hours:.3g} h together: throughput is too small"
    return [Issue(metadata.cell_id, None, "hole", "throughput_Ah", f"{hours:.3g} h", "flagged", text)]


def _rates(metadata: CellMetadata, checkups: Sequence[CheckUp], settings: CyclerSettings) -> list[Issue]:
    rates = [checkup.discharge.c_rate(metadata.nominal_capacity_Ah) for checkup in checkups]
    low, high = min(rates), max(rates)
    if settings.checkup_rule == "low_rate" or high <= _SAME_RATE * low:
        return []
    text = (
        f"check-ups run from {low:.2g} C to {high:.2g} C, and capacities at different rates do not compare: set "
        f"data.cycler.checkup_rule low_rate and data.cycler.low_rate a little above {low:.2g}"
    )
    return [Issue(metadata.cell_id, None, "rates_differ", "capacity_Ah", f"{high / low:.2g}", "flagged", text)]


def _no_checkup_issue(
    metadata: CellMetadata, halves: Sequence[HalfCycle], window: Window, settings: CyclerSettings
) -> Issue:
    """Return the issue of a cell without check-ups, with the cause and the remedy."""
    discharges = [half for half in halves if half.kind == "discharge"]
    full = rules.find_checkups(halves, window, metadata.nominal_capacity_Ah, "every_full_cycle", settings.low_rate)
    if full:
        slowest = min(checkup.discharge.c_rate(metadata.nominal_capacity_Ah) for checkup in full)
        why = f"the slowest of {len(full)} full discharges runs at {slowest:.2g} C: raise data.cycler.low_rate"
    elif discharges:
        lowest, highest = min(half.lowest_V for half in discharges), max(half.highest_V for half in halves)
        why = (
            f"{len(discharges)} discharge(s), none from {window.upper_V:.3f} to {window.lower_V:.3f} V (seen: "
            f"{highest:.3f} to {lowest:.3f} V): correct the cut-offs or raise data.cycler.cutoff_tolerance_V"
        )
    else:
        why = "no discharge in its files yet"
    return Issue(metadata.cell_id, None, "no_checkup", "capacity_Ah", "", "quarantined", f"no check-up: {why}")
