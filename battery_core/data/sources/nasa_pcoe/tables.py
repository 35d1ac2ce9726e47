"""Canonical tables from the records of a NASA cell: labels, and the measurements before each discharge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from battery_core.data.extraction.measuring import measure
from battery_core.data.extraction.settings import ExtractionSettings
from battery_core.data.sources.base import SourceTables
from battery_core.data.sources.nasa_pcoe.label import (
    LOAD_A,
    ambient,
    cell_issues,
    discharge_issues,
    own_cutoff,
    reintegrated_capacity,
)
from battery_core.data.sources.nasa_pcoe.mat_file import Array, MatRecord
from battery_core.data.tables.issues import Issue
from battery_core.data.tables.schema import CELL_COLUMNS, CHECKUP_COLUMNS, CURVE_COLUMNS

NOMINAL_Ah = 2.0
_SECONDS_PER_DAY = 86400.0
_SECONDS_PER_HOUR = 3600.0


@dataclass
class _HistoryState:
    """Accumulate the state of a cell before a discharge, without that discharge and the charge before it."""

    throughput_Ah: float = 0.0
    charge: MatRecord | None = None
    charges: int = 0
    since_discharge: list[MatRecord] = field(default_factory=list)
    impedance: MatRecord | None = None

    def add(self, record: MatRecord) -> None:
        """Add a finished record."""
        if record.kind == "impedance":
            self.impedance = record
        elif record.kind == "charge":
            if self.charge is not None:
                self.throughput_Ah += _throughput(self.charge)
            self.charge, self.charges = record, self.charges + 1
            self.since_discharge.append(record)
        else:
            self.throughput_Ah += _throughput(record) + (_throughput(self.charge) if self.charge else 0.0)
            self.charge, self.charges, self.since_discharge = None, 0, [record]


def cell_tables(cell_id: str, records: Sequence[MatRecord], settings: ExtractionSettings) -> SourceTables:
    """Return the canonical tables of one cell: one check-up per discharge.

    A discharge without a recorded capacity, one that ends above the label's cut-off and one of a cell that was not
    seen charging or was not full have no label and are quarantined.
    """
    discharges = [record for record in records if record.kind == "discharge"]
    cutoff = own_cutoff(discharges)
    rows, curves, issues = [], [], cell_issues(cell_id, records)
    history, index = _HistoryState(), 0
    for record in records:
        if record.kind == "discharge":
            rows.append(_row(cell_id, index, record, history, records[0]))
            issues += discharge_issues(cell_id, index, record, history.charges, cutoff)
            curves += _curves(cell_id, index, record, history.charge)
            index += 1
        history.add(record)
    checkups, quarantined, all_curves = _finish(rows, curves, issues, settings)
    cells = pd.DataFrame([_cell(cell_id, discharges, cutoff)] if len(checkups) else [], columns=list(CELL_COLUMNS))
    if not len(checkups):
        issues.append(Issue(cell_id, None, "no_checkup", "", "", "quarantined", "no discharge has a label"))
    return SourceTables(cells, checkups, all_curves, issues, len(rows), quarantined)


def _finish(
    rows: list[dict[str, float | str]],
    curves: list[pd.DataFrame],
    issues: Sequence[Issue],
    settings: ExtractionSettings,
) -> tuple[pd.DataFrame, pd.DataFrame | None, pd.DataFrame | None]:
    """Return check-ups with the numbers from their curves, the quarantined ones, and the curves of all."""
    if not rows:
        return pd.DataFrame(columns=[*CHECKUP_COLUMNS]), None, None
    table = pd.DataFrame(rows)
    all_curves = pd.concat(curves, ignore_index=True)
    measured = measure(all_curves, settings, NOMINAL_Ah)
    table = table.merge(measured, on=["cell_id", "checkup_index"], how="left", validate="one_to_one")
    table["resistance_ohm"] = table["step_resistance_discharge_ohm"]
    is_quarantined = table["checkup_index"].isin({f.row for f in issues if f.action == "quarantined"})
    usable, out = table[~is_quarantined].reset_index(drop=True), table[is_quarantined].reset_index(drop=True)
    return usable, out if len(out) else None, all_curves


def _row(
    cell_id: str, index: int, record: MatRecord, history: _HistoryState, first: MatRecord
) -> dict[str, float | str]:
    impedance = history.impedance
    values = impedance.values if impedance else {}
    mean, highest = _temperatures(history.since_discharge)
    return {
        "cell_id": cell_id,
        "checkup_index": index,
        "cycle_count": float(index),
        "time_days": (record.begins - first.begins).total_seconds() / _SECONDS_PER_DAY,
        "throughput_Ah": history.throughput_Ah,
        "capacity_Ah": record.values.get("capacity_Ah", np.nan),
        "resistance_ohm": np.nan,
        "temperature_mean_degC": mean,
        "temperature_max_degC": highest,
        "impedance_re_ohm": values.get("re_ohm", np.nan),
        "impedance_rct_ohm": values.get("rct_ohm", np.nan),
        "impedance_temperature_degC": impedance.ambient_degC if impedance else np.nan,
        "reintegrated_capacity_Ah": reintegrated_capacity(record),
    }


def _cell(cell_id: str, discharges: Sequence[MatRecord], cutoff: float) -> dict[str, object]:
    temperature = ambient(discharges)
    current = np.concatenate([record.series["current_A"] for record in discharges])
    load = float(-np.median(current[current < -LOAD_A]))
    return {
        "cell_id": cell_id,
        "source": "nasa_pcoe",
        "group": f"{temperature:g} degC",
        "chemistry": "Li-ion 18650",  # the files state no more
        "nominal_capacity_Ah": NOMINAL_Ah,
        "ambient_temperature_degC": temperature,
        "protocol": f"charge 1.5 A to 4.2 V, discharge {load:.0f} A to {cutoff:g} V",
    }


def _throughput(record: MatRecord) -> float:
    return float(np.trapezoid(np.abs(record.series["current_A"]), record.series["time_s"]) / _SECONDS_PER_HOUR)


def _temperatures(records: Sequence[MatRecord]) -> tuple[float, float]:
    """Return the time mean and the maximum of the cell temperature; NaN where nothing was measured."""
    total = seconds = 0.0
    highest = [np.nan]
    for record in records:
        time, temperature = record.series["time_s"], record.series["temperature_degC"]
        is_measured = np.isfinite(temperature)
        if is_measured.sum() > 1:
            total += float(np.trapezoid(temperature[is_measured], time[is_measured]))
            seconds += float(time[is_measured][-1] - time[is_measured][0])
            highest.append(float(temperature[is_measured].max()))
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
