"""From the records of a NASA cell to its canonical tables: which discharge is a label, what was known before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd

from battery_core.data.extraction import ExtractionSettings, measure
from battery_core.data.findings import Finding
from battery_core.data.schema import CELL_COLUMNS, CHECKUP_COLUMNS, CURVE_COLUMNS
from battery_core.data.sources.base import SourceTables
from battery_core.data.sources.nasa_pcoe_mat import Array, MatRecord

NOMINAL_Ah = 2.0
LABEL_CUTOFF_V = 2.7
"""The recorded capacity is the charge until the voltage first falls below this, in every cell, whatever its own
cut-off; the files do not say so, integrating the current does: it agrees to five digits."""
FULL_V = 4.05
"""A charged cell of these plans rests at 4.09 V or more when its discharge begins (charge to 4.2 V)."""
TOLERANCE = 0.01
_CUTOFFS_V = (2.0, 2.2, 2.5, 2.7)  # of the four cells of each plan
_NEARLY_ALL = 0.9
_LOAD_A = 0.5
_SECONDS_PER_DAY = 86400.0
_SECONDS_PER_HOUR = 3600.0


@dataclass
class _Past:
    """What is known of a cell when a discharge begins; nothing of that discharge, nor of the charge that fills it."""

    throughput_Ah: float = 0.0
    charge: MatRecord | None = None
    extra_charges: int = 0
    since_discharge: list[MatRecord] = field(default_factory=list)
    impedance: MatRecord | None = None

    def see(self, record: MatRecord) -> None:
        """Remember a record that is over."""
        if record.kind == "impedance":
            self.impedance = record
        elif record.kind == "charge":
            if self.charge is not None:
                self.throughput_Ah += _throughput(self.charge)
                self.extra_charges += 1
            self.charge = record
            self.since_discharge.append(record)
        else:
            self.throughput_Ah += _throughput(record) + (_throughput(self.charge) if self.charge else 0.0)
            self.charge, self.extra_charges, self.since_discharge = None, 0, [record]


def cell_tables(cell_id: str, records: Sequence[MatRecord], settings: ExtractionSettings) -> SourceTables:
    """The canonical tables of one cell: one check-up a discharge.

    A discharge without a recorded capacity, one that ends above ``LABEL_CUTOFF_V`` and one of a cell that was not
    seen charging or was not full have no label and are quarantined.
    """
    discharges = [record for record in records if record.kind == "discharge"]
    own_cutoff = _own_cutoff(discharges)
    rows, curves, findings = [], [], _about_cell(cell_id, records)
    past, index = _Past(), 0
    for record in records:
        if record.kind == "discharge":
            rows.append(_row(cell_id, index, record, past, records[0]))
            findings += _about_discharge(cell_id, index, record, past, own_cutoff)
            curves += _curves(cell_id, index, record, past.charge)
            index += 1
        past.see(record)
    checkups, quarantined, all_curves = _finish(rows, curves, findings, settings)
    cells = pd.DataFrame([_cell(cell_id, discharges, own_cutoff)] if len(checkups) else [], columns=list(CELL_COLUMNS))
    if not len(checkups):
        findings.append(Finding(cell_id, None, "no_checkup", "", "", "quarantined", "no discharge has a label"))
    return SourceTables(cells, checkups, all_curves, findings, len(rows), quarantined)


def _finish(
    rows: list[dict[str, float | str]],
    curves: list[pd.DataFrame],
    findings: Sequence[Finding],
    settings: ExtractionSettings,
) -> tuple[pd.DataFrame, pd.DataFrame | None, pd.DataFrame | None]:
    """Check-ups with what their curves tell, those that are quarantined, and the curves of all."""
    if not rows:
        return pd.DataFrame(columns=[*CHECKUP_COLUMNS]), None, None
    table = pd.DataFrame(rows)
    all_curves = pd.concat(curves, ignore_index=True)
    measured = measure(all_curves, settings, NOMINAL_Ah)
    table = table.merge(measured, on=["cell_id", "checkup_index"], how="left", validate="one_to_one")
    table["resistance_ohm"] = table["step_resistance_discharge_ohm"]
    taken = table["checkup_index"].isin({f.row for f in findings if f.action == "quarantined"})
    kept, out = table[~taken].reset_index(drop=True), table[taken].reset_index(drop=True)
    return kept, out if len(out) else None, all_curves


def reintegrated_capacity(record: MatRecord) -> float:
    """Charge that a discharge gives until its voltage first falls below ``LABEL_CUTOFF_V``, in Ah; NaN if it never is.

    Integral of the measured current by the trapezoid rule, from the first sample to the first one below the cut-off.
    """
    below = np.flatnonzero(record.series["voltage_V"] < LABEL_CUTOFF_V)
    if len(below) == 0:
        return float("nan")
    end = int(below[0]) + 1
    passed = np.trapezoid(record.series["current_A"][:end], record.series["time_s"][:end])
    return float(-passed / _SECONDS_PER_HOUR)


def _row(cell_id: str, index: int, record: MatRecord, past: _Past, first: MatRecord) -> dict[str, float | str]:
    impedance = past.impedance
    values = impedance.values if impedance else {}
    mean, highest = _temperatures(past.since_discharge)
    return {
        "cell_id": cell_id,
        "checkup_index": index,
        "cycle_count": float(index),
        "time_days": (record.begins - first.begins).total_seconds() / _SECONDS_PER_DAY,
        "throughput_Ah": past.throughput_Ah,
        "capacity_Ah": record.values.get("capacity_Ah", np.nan),
        "resistance_ohm": np.nan,
        "temperature_mean_degC": mean,
        "temperature_max_degC": highest,
        "impedance_re_ohm": values.get("re_ohm", np.nan),
        "impedance_rct_ohm": values.get("rct_ohm", np.nan),
        "impedance_temperature_degC": impedance.ambient_degC if impedance else np.nan,
        "reintegrated_capacity_Ah": reintegrated_capacity(record),
    }


def _about_discharge(cell_id: str, index: int, record: MatRecord, past: _Past, own_cutoff: float) -> list[Finding]:
    """Why a discharge is no label, or what is odd about one that is."""
    recorded = record.values.get("capacity_Ah", np.nan)
    again, lowest = reintegrated_capacity(record), _lowest(record)
    found = []

    def say(rule: str, column: str, value: float, action: str, reason: str) -> None:
        found.append(Finding(cell_id, index, rule, column, f"{value:.6g}", action, reason))  # type: ignore[arg-type]

    if np.isnan(again):
        reason = (
            f"the discharge ends at {lowest:.2f} V, above {LABEL_CUTOFF_V:g} V: cut short, its capacity is not known"
        )
        say("cut_short", "capacity_Ah", recorded, "quarantined", reason)
    elif past.charge is None:
        reason = "no charge is recorded before it: how full the cell was is not known, so its capacity is not either"
        say("no_charge_before", "capacity_Ah", recorded, "quarantined", reason)
    elif (start := float(record.series["voltage_V"][0])) < FULL_V:
        reason = (
            f"begins at {start:.2f} V at rest, below {FULL_V:g} V: the cell was not full, so this is not its capacity"
        )
        say("not_full", "capacity_Ah", recorded, "quarantined", reason)
    elif not recorded > 0:
        say("no_label", "capacity_Ah", recorded, "quarantined", "no capacity was recorded (missing, empty or 0)")
    else:
        if abs(again - recorded) > TOLERANCE * recorded:
            reason = f"integrating the current gives {again:.4f} Ah, {again / recorded - 1:+.1%}: kept, to look at"
            say("capacity_disagrees", "capacity_Ah", recorded, "flagged", reason)
        if lowest > own_cutoff:
            reason = (
                f"ends above the cell's own cut-off of {own_cutoff:g} V, after the label's {LABEL_CUTOFF_V:g} V: kept"
            )
            say("cut_short", "voltage_V", lowest, "flagged", reason)
    if past.extra_charges:
        reason = "two charges follow each other: the later one counts; what the cell gave between them is not recorded"
        say("unrecorded_discharge", "throughput_Ah", past.throughput_Ah, "flagged", reason)
    return found


def _about_cell(cell_id: str, records: Sequence[MatRecord]) -> list[Finding]:
    findings = []
    ambient = sorted({record.ambient_degC for record in records if record.kind != "impedance"})
    if len(ambient) > 1:
        seen = ", ".join(f"{t:g}" for t in ambient)
        reason = f"cycled at {seen} degC: the cell counts as {_ambient(records):g} degC, the commonest"
        findings.append(
            Finding(cell_id, None, "several_temperatures", "ambient_temperature_degC", seen, "flagged", reason)
        )
    if lost := sum(record.samples_lost for record in records):
        reason = f"{lost} sample(s) without a finite time, voltage or current are left out of the curves"
        findings.append(Finding(cell_id, None, "lost_samples", "curves", str(lost), "flagged", reason))
    if any(later.begins < earlier.begins for earlier, later in pairwise(records)):
        reason = "records are not in the order of their dates: kept in the order of the file"
        findings.append(Finding(cell_id, None, "dates_run_backwards", "time_days", "", "flagged", reason))
    return findings


def _cell(cell_id: str, discharges: Sequence[MatRecord], own_cutoff: float) -> dict[str, object]:
    ambient = _ambient(discharges)
    current = np.concatenate([record.series["current_A"] for record in discharges])
    load = float(-np.median(current[current < -_LOAD_A]))
    return {
        "cell_id": cell_id,
        "source": "nasa_pcoe",
        "group": f"{ambient:g} degC",
        "chemistry": "Li-ion 18650",  # the files state no more
        "nominal_capacity_Ah": NOMINAL_Ah,
        "ambient_temperature_degC": ambient,
        "protocol": f"charge 1.5 A to 4.2 V, discharge {load:.0f} A to {own_cutoff:g} V",
    }


def _ambient(records: Sequence[MatRecord]) -> float:
    temperatures, counts = np.unique([r.ambient_degC for r in records if r.kind != "impedance"], return_counts=True)
    return float(temperatures[int(np.argmax(counts))])


def _own_cutoff(discharges: Sequence[MatRecord]) -> float:
    """The plan's cut-off that nearly all whole discharges pass; with a sample every 10 s they pass it by far."""
    lowest = [low for record in discharges if (low := _lowest(record)) < LABEL_CUTOFF_V]
    usual = float(np.quantile(lowest, _NEARLY_ALL)) if lowest else np.nan
    return next((cutoff for cutoff in _CUTOFFS_V if usual < cutoff), _CUTOFFS_V[-1])


def _lowest(record: MatRecord) -> float:
    under_load = record.series["voltage_V"][record.series["current_A"] < -_LOAD_A]
    return float(under_load.min()) if len(under_load) else float("nan")


def _throughput(record: MatRecord) -> float:
    return float(np.trapezoid(np.abs(record.series["current_A"]), record.series["time_s"]) / _SECONDS_PER_HOUR)


def _temperatures(records: Sequence[MatRecord]) -> tuple[float, float]:
    """Mean over time and highest cell temperature; NaN where nothing was measured."""
    total = seconds = 0.0
    highest = [np.nan]
    for record in records:
        time, temperature = record.series["time_s"], record.series["temperature_degC"]
        known = np.isfinite(temperature)
        if known.sum() > 1:
            total += float(np.trapezoid(temperature[known], time[known]))
            seconds += float(time[known][-1] - time[known][0])
            highest.append(float(temperature[known].max()))
    return (total / seconds if seconds else np.nan), float(np.fmax.reduce(highest))


def _curves(cell_id: str, index: int, discharge: MatRecord, charge: MatRecord | None) -> list[pd.DataFrame]:
    halves = [("charge", charge)] if charge is not None else []
    frames = []
    for half, record in [*halves, ("discharge", discharge)]:
        frame = pd.DataFrame(dict(record.series))
        passed = np.abs(_integral(record.series["current_A"], record.series["time_s"]))
        frames.append(frame.assign(cell_id=cell_id, checkup_index=index, half_cycle=half, capacity_Ah=passed))
    return [frame[list(CURVE_COLUMNS)] for frame in frames]


def _integral(current: Array, time: Array) -> Array:
    step = np.diff(time) * (current[1:] + current[:-1]) / 2.0 / _SECONDS_PER_HOUR
    return np.concatenate([[0.0], np.cumsum(step)])[: len(time)]
