"""Selection of the discharges of a NASA cell that are labels, and the issues of the others."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from battery_core.data.sources.nasa_pcoe.mat_file import MatRecord
from battery_core.data.tables.issues import Action, Issue

LABEL_CUTOFF_V = 2.7
"""The recorded capacity is the charge until the voltage first falls below this value, in every cell, whatever its own
cut-off. The files do not document it; the integral of the current agrees to five digits."""
FULL_V = 4.05
"""A charged cell of these plans rests at 4.09 V or more when its discharge begins (charge to 4.2 V)."""
TOLERANCE = 0.01
_CUTOFFS_V = (2.0, 2.2, 2.5, 2.7)  # of the four cells of each plan
_NEARLY_ALL = 0.9
LOAD_A = 0.5
_SECONDS_PER_HOUR = 3600.0


def reintegrated_capacity(record: MatRecord) -> float:
    """Return the charge until the voltage first falls below ``LABEL_CUTOFF_V``, in Ah; NaN if it never does.

    Integral of the measured current by the trapezoid rule, from the first sample to the first one below the cut-off.
    """
    below = np.flatnonzero(record.series["voltage_V"] < LABEL_CUTOFF_V)
    if len(below) == 0:
        return float("nan")
    end = int(below[0]) + 1
    passed = np.trapezoid(record.series["current_A"][:end], record.series["time_s"][:end])
    return float(-passed / _SECONDS_PER_HOUR)


def discharge_issues(
    cell_id: str, index: int, record: MatRecord, charges_before: int, own_cutoff: float
) -> list[Issue]:
    """Return the issues of a discharge: why it is no label, or what is unusual about it."""
    recorded = record.values.get("capacity_Ah", np.nan)
    reintegrated, lowest = reintegrated_capacity(record), _lowest(record)
    issues: list[Issue] = []

    def add_issue(rule: str, column: str, value: float, action: Action, reason: str) -> None:
        issues.append(Issue(cell_id, index, rule, column, f"{value:.6g}", action, reason))

    if np.isnan(reintegrated):
        reason = (
            f"the discharge ends at {lowest:.2f} V, above {LABEL_CUTOFF_V:g} V: cut short, its capacity is not known"
        )
        add_issue("cut_short", "capacity_Ah", recorded, "quarantined", reason)
    elif charges_before == 0:
        reason = "no charge is recorded before it: how full the cell was is not known, so its capacity is not either"
        add_issue("no_charge_before", "capacity_Ah", recorded, "quarantined", reason)
    elif (start := float(record.series["voltage_V"][0])) < FULL_V:
        reason = (
            f"begins at {start:.2f} V at rest, below {FULL_V:g} V: the cell was not full, so this is not its capacity"
        )
        add_issue("not_full", "capacity_Ah", recorded, "quarantined", reason)
    elif not recorded > 0:
        add_issue("no_label", "capacity_Ah", recorded, "quarantined", "no capacity was recorded (missing, empty or 0)")
    else:
        if abs(reintegrated - recorded) > TOLERANCE * recorded:
            reason = (
                f"integrating the current gives {reintegrated:.4f} Ah, "
                f"{reintegrated / recorded - 1:+.1%}: kept, to look at"
            )
            add_issue("capacity_disagrees", "capacity_Ah", recorded, "flagged", reason)
        if lowest > own_cutoff:
            reason = (
                f"ends above the cell's own cut-off of {own_cutoff:g} V, after the label's {LABEL_CUTOFF_V:g} V: kept"
            )
            add_issue("cut_short", "voltage_V", lowest, "flagged", reason)
    if charges_before > 1:
        reason = "two charges follow each other: the later one counts; what the cell gave between them is not recorded"
        add_issue("unrecorded_discharge", "throughput_Ah", charges_before, "flagged", reason)
    return issues


def cell_issues(cell_id: str, records: Sequence[MatRecord]) -> list[Issue]:
    """Return the issues of a cell's records as a whole."""
    issues = []
    chambers = sorted({record.ambient_degC for record in records if record.kind != "impedance"})
    if len(chambers) > 1:
        seen = ", ".join(f"{t:g}" for t in chambers)
        reason = f"cycled at {seen} degC: the cell counts as {ambient(records):g} degC, the commonest"
        issues.append(Issue(cell_id, None, "several_temperatures", "ambient_temperature_degC", seen, "flagged", reason))
    if lost := sum(record.samples_lost for record in records):
        reason = f"{lost} sample(s) without a finite time, voltage or current are left out of the curves"
        issues.append(Issue(cell_id, None, "lost_samples", "curves", str(lost), "flagged", reason))
    if any(later.begins < earlier.begins for earlier, later in pairwise(records)):
        reason = "records are not in the order of their dates: kept in the order of the file"
        issues.append(Issue(cell_id, None, "dates_run_backwards", "time_days", "", "flagged", reason))
    return issues


def ambient(records: Sequence[MatRecord]) -> float:
    """Return the chamber temperature of most charges and discharges, in degC."""
    temperatures, counts = np.unique([r.ambient_degC for r in records if r.kind != "impedance"], return_counts=True)
    return float(temperatures[int(np.argmax(counts))])


def own_cutoff(discharges: Sequence[MatRecord]) -> float:
    """Return the planned cut-off that nearly all complete discharges pass; at one sample per 10 s they overshoot it."""
    lowest = [low for record in discharges if (low := _lowest(record)) < LABEL_CUTOFF_V]
    usual = float(np.quantile(lowest, _NEARLY_ALL)) if lowest else np.nan
    return next((cutoff for cutoff in _CUTOFFS_V if usual < cutoff), _CUTOFFS_V[-1])


def _lowest(record: MatRecord) -> float:
    under_load = record.series["voltage_V"][record.series["current_A"] < -LOAD_A]
    return float(under_load.min()) if len(under_load) else float("nan")
