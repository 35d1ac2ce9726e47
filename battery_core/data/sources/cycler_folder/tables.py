"""From a cell's files to its canonical tables: what was understood, then check-ups and curves."""

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
from battery_core.data.sources.cycler_folder.analyse import SOURCE, Understood, understand
from battery_core.data.sources.cycler_folder.cells import CellFacts
from battery_core.data.tables.issues import Issue
from battery_core.data.tables.schema import CELL_COLUMNS, CHECKUP_COLUMNS, CURVE_COLUMNS

_SECONDS_PER_DAY = 86400.0


def read_tables(facts: CellFacts, files: Sequence[Path], settings: DataSettings) -> SourceTables:
    """The canonical tables of one cell.

    A check-up whose discharge has a hole is quarantined: its capacity would be too small.

    Raises:
        DataError: a file cannot be read, or its columns cannot be what they say.
    """
    found = understand(facts, files, settings.cycler)
    return as_tables(found, settings)


def as_tables(found: Understood, settings: DataSettings) -> SourceTables:
    """The canonical tables of what was understood."""
    rows = _checkup_rows(found, settings.cycler.max_gap_s, settings.cycler.rest_current)
    broken = np.array(found.broken, dtype=bool)
    issues = list(found.issues)
    reason = "the record has a hole in this discharge: its capacity cannot be known"
    for index in np.flatnonzero(broken).tolist():
        value = f"{rows['capacity_Ah'][index]:.6g}"
        issues.append(
            Issue(found.facts.cell_id, index, "hole_in_discharge", "capacity_Ah", value, "quarantined", reason)
        )
    kept = rows[~broken].reset_index(drop=True)
    quarantined = rows[broken].reset_index(drop=True) if broken.any() else None
    curves = _curves(found)
    measured = measure(curves, settings.extraction, found.facts.nominal_capacity_Ah).drop(
        columns=["cell_id"], errors="ignore"
    )
    kept = kept.drop(columns=[c for c in measured if c in kept and c != "checkup_index"])
    kept = kept.merge(measured, on="checkup_index", how="left")
    order = [*CHECKUP_COLUMNS, "temperature_degC"]
    kept = kept[[*(c for c in order if c in kept), *(c for c in kept if c not in order)]]
    cells = pd.DataFrame([_cell_row(found.facts)] if len(kept) else [], columns=list(CELL_COLUMNS))
    return SourceTables(cells, kept, curves, issues, len(rows), quarantined)


def _cell_row(facts: CellFacts) -> dict[str, object]:
    temperature = facts.ambient_temperature_degC
    known = {
        **asdict(facts),
        "source": SOURCE,
        "ambient_temperature_degC": np.nan if temperature is None else temperature,
    }
    return {name: known[name] for name in CELL_COLUMNS} | {"group": facts.group or facts.protocol or "all"}


def _checkup_rows(found: Understood, max_gap_s: float, rest_current: float) -> pd.DataFrame:
    """One row a check-up: what was so before it began, and its capacity."""
    record, cell = found.record, found.facts.cell_id
    rest_A = rest_current * found.facts.nominal_capacity_Ah
    through = rules.throughput(record, max_gap_s, rest_A)
    begins = np.array([c.begins for c in found.checkups], dtype=int)
    stops = [(c.discharge.start, c.discharge.stop + 1) for c in found.checkups]
    temperature = [_mean(record.temperature_degC[a:b]) for a, b in stops]
    rows = pd.DataFrame(
        {
            "checkup_index": np.arange(len(begins), dtype="int64"),
            "cycle_count": _cycle_count(found),
            "time_days": (record.time_s[begins] - record.time_s[:1]) / _SECONDS_PER_DAY,
            "throughput_Ah": through[begins],
            "capacity_Ah": rules.capacities(record, found.checkups, found.window.lower_V, max_gap_s, rest_A),
            "resistance_ohm": np.full(len(begins), np.nan),
            "temperature_degC": np.array(temperature, dtype=float),
        }
    )
    rows.insert(0, "cell_id", pd.Series([cell] * len(rows), dtype=str))
    return rows


def _mean(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _cycle_count(found: Understood) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Cycles before each check-up: the cycler's own number, or the discharges so far where it does not count."""
    at = np.array([c.discharge.start for c in found.checkups], dtype=int)
    discharges = np.array([half.start for half in found.halves if half.kind == "discharge"], dtype=int)
    counted = np.searchsorted(discharges, at).astype(float)
    own = found.record.cycle
    return own[at] if own is not None and len(np.unique(own[at])) == len(at) else counted


def _curves(found: Understood) -> pd.DataFrame:
    """The charge and the discharge of every whole check-up, each with time and charge from its own beginning."""
    record, parts = found.record, []
    charge, _ = passed_charge(record, float("inf"), 0.0)
    net = np.concatenate([[0.0], np.cumsum(charge)])
    for index, (checkup, broken) in enumerate(zip(found.checkups, found.broken, strict=True)):
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
    curves.insert(0, "cell_id", found.facts.cell_id)
    return curves[list(CURVE_COLUMNS)]
