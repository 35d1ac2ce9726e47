"""Canonical tables of a cell in a cycler folder: check-ups and curves from its analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from battery_core.data.cycling import checkups as rules
from battery_core.data.cycling.record import passed_charge
from battery_core.data.extraction.measuring import measure
from battery_core.data.settings import DataSettings
from battery_core.data.sources.base import SourceTables
from battery_core.data.sources.cycler_folder.analyse import SOURCE, CellAnalysis, analyse_cell
from battery_core.data.sources.cycler_folder.cells import CellMetadata
from battery_core.data.tables.issues import Issue
from battery_core.data.tables.schema import CELL_COLUMNS, CHECKUP_COLUMNS, CURVE_COLUMNS

_SECONDS_PER_DAY = 86400.0


def read_tables(metadata: CellMetadata, files: Sequence[Path], settings: DataSettings) -> SourceTables:
    """Return the canonical tables of one cell.

    A check-up whose discharge has a hole is quarantined: its capacity would be too small.

    Raises:
        DataError: a file cannot be read, or its columns are implausible.
    """
    analysis = analyse_cell(metadata, files, settings.cycler)
    return as_tables(analysis, settings)


def as_tables(analysis: CellAnalysis, settings: DataSettings) -> SourceTables:
    """Return the canonical tables of an analysis."""
    rows = _checkup_rows(analysis, settings.cycler.max_gap_s, settings.cycler.rest_current)
    broken = np.array(analysis.broken, dtype=bool)
    issues = list(analysis.issues)
    reason = "the record has a hole in this discharge: its capacity cannot be known"
    for index in np.flatnonzero(broken).tolist():
        value = f"{rows['capacity_Ah'][index]:.6g}"
        issues.append(
            Issue(analysis.metadata.cell_id, index, "hole_in_discharge", "capacity_Ah", value, "quarantined", reason)
        )
    usable = rows[~broken].reset_index(drop=True)
    quarantined = rows[broken].reset_index(drop=True) if broken.any() else None
    curves = _curves(analysis)
    measured = measure(curves, settings.extraction, analysis.metadata.nominal_capacity_Ah).drop(
        columns=["cell_id"], errors="ignore"
    )
    usable = usable.drop(columns=[c for c in measured if c in usable and c != "checkup_index"])
    usable = usable.merge(measured, on="checkup_index", how="left")
    order = [*CHECKUP_COLUMNS, "temperature_degC"]
    usable = usable[[*(c for c in order if c in usable), *(c for c in usable if c not in order)]]
    cells = pd.DataFrame([_cell_row(analysis.metadata)] if len(usable) else [], columns=list(CELL_COLUMNS))
    return SourceTables(cells, usable, curves, issues, len(rows), quarantined)


def _cell_row(metadata: CellMetadata) -> dict[str, object]:
    temperature = metadata.ambient_temperature_degC
    values = {
        **asdict(metadata),
        "source": SOURCE,
        "ambient_temperature_degC": np.nan if temperature is None else temperature,
    }
    return {name: values[name] for name in CELL_COLUMNS} | {"group": metadata.group or metadata.protocol or "all"}


def _checkup_rows(analysis: CellAnalysis, max_gap_s: float, rest_current: float) -> pd.DataFrame:
    """Return one row per check-up: the state before it began, and its capacity."""
    record, cell = analysis.record, analysis.metadata.cell_id
    rest_A = rest_current * analysis.metadata.nominal_capacity_Ah
    through = rules.throughput(record, max_gap_s, rest_A)
    begins = np.array([c.begins for c in analysis.checkups], dtype=int)
    stops = [(c.discharge.start, c.discharge.stop + 1) for c in analysis.checkups]
    temperature = [_mean(record.temperature_degC[a:b]) for a, b in stops]
    rows = pd.DataFrame(
        {
            "checkup_index": np.arange(len(begins), dtype="int64"),
            "cycle_count": _cycle_count(analysis),
            "time_days": (record.time_s[begins] - record.time_s[:1]) / _SECONDS_PER_DAY,
            "throughput_Ah": through[begins],
            "capacity_Ah": rules.capacities(record, analysis.checkups, analysis.window.lower_V, max_gap_s, rest_A),
            "resistance_ohm": np.full(len(begins), np.nan),
            "temperature_degC": np.array(temperature, dtype=float),
        }
    )
    rows.insert(0, "cell_id", pd.Series([cell] * len(rows), dtype=str))
    return rows


def _mean(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _cycle_count(analysis: CellAnalysis) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the cycles before each check-up: the cycler's number, or the count of earlier discharges."""
    starts = np.array([c.discharge.start for c in analysis.checkups], dtype=int)
    discharges = np.array([half.start for half in analysis.halves if half.kind == "discharge"], dtype=int)
    counted = np.searchsorted(discharges, starts).astype(float)
    recorded = analysis.record.cycle
    return recorded[starts] if recorded is not None and len(np.unique(recorded[starts])) == len(starts) else counted


def _curves(analysis: CellAnalysis) -> pd.DataFrame:
    """Return charge and discharge of every complete check-up, each with time and charge from its own start."""
    record, parts = analysis.record, []
    charge, _ = passed_charge(record, float("inf"), 0.0)
    net = np.concatenate([[0.0], np.cumsum(charge)])
    for index, (checkup, broken) in enumerate(zip(analysis.checkups, analysis.broken, strict=True)):
        for half in (checkup.charge, checkup.discharge):
            if half is not None and not broken:
                part = slice(half.start, half.stop + 1)
                parts.append(
                    pd.DataFrame(
                        {
                            "checkup_index": np.int64(index),
                            "half_cycle": half.kind,
                            "time_s": record.time_s[part] - record.time_s[half.start],
                            "voltage_V": record.voltage_V[part],
                            "current_A": record.current_A[part],
                            "capacity_Ah": np.abs(net[part] - net[half.start]),
                            "temperature_degC": record.temperature_degC[part],
                        }
                    )
                )
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype="float64") for name in CURVE_COLUMNS})
    curves = pd.concat(parts, ignore_index=True)
    curves.insert(0, "cell_id", analysis.metadata.cell_id)
    return curves[list(CURVE_COLUMNS)]
