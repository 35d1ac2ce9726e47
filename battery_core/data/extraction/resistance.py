"""Resistance from current steps: the voltage change when a load is applied to a resting cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from battery_core.data.extraction.base import HalfCycle, Measurement
from battery_core.data.extraction.settings import ExtractionSettings
from battery_core.data.tables.roles import Role

_REST_PER_H = 0.02  # a smaller current is rest, per nominal capacity
_ROUNDING_S = 1e-6  # of times counted from far away: a sample just at the delay is at it


class StepResistance(Measurement):
    """Extract the median dV/dI from the last sample at rest to the first one ``step_delay_s`` later or more, in ohm.

    A step counts if it is larger than ``step_min_per_h`` and read no later than ``step_max_delay_s`` (a sample every
    10 s yields a 10 s resistance). The half cycle must have passed less than ``step_max_charge`` of the nominal
    capacity: the number of steps in a complete discharge would reveal its length, which is the label.
    """

    name = "resistance"
    columns: ClassVar[Mapping[str, Role]] = {
        "step_resistance_charge_ohm": Role.MEASUREMENT,
        "step_resistance_discharge_ohm": Role.MEASUREMENT,
    }

    def measure(self, curves: Mapping[str, HalfCycle], settings: ExtractionSettings) -> dict[str, float]:
        """Return the resistances, from the start of each half cycle."""
        resistances = {name: step_resistances(half, settings) for name, half in curves.items()}
        return {f"step_resistance_{name}_ohm": float(np.median(r)) for name, r in resistances.items() if r}


def step_resistances(half: HalfCycle, settings: ExtractionSettings) -> list[float]:
    """Return the resistance of each step from rest to load, in order, in ohm.

    Example:
        >>> half = HalfCycle(*np.array([[0.0, 10.0, 11.0], [4.2, 4.2, 4.0], [0.0, 0.0, -2.0]]), 2.0)
        >>> [round(r, 3) for r in step_resistances(half, ExtractionSettings())]
        [0.1]
    """
    time, voltage, current = half.time_s, half.voltage_V, half.current_A
    rests = np.abs(current) <= _REST_PER_H * half.nominal_capacity_Ah
    early = np.abs(half.charge_Ah()) <= settings.step_max_charge * half.nominal_capacity_Ah
    resistances = []
    for rest in np.flatnonzero(rests[:-1] & ~rests[1:] & early[1:]).tolist():
        read = int(np.searchsorted(time, time[rest] + settings.step_delay_s - _ROUNDING_S))
        read = max(read, rest + 1)
        latest = time[rest] + settings.step_max_delay_s + _ROUNDING_S
        if read >= len(time) or time[read] > latest or rests[rest + 1 : read + 1].any():
            continue
        step = float(current[read] - current[rest])
        if abs(step) >= settings.step_min_per_h * half.nominal_capacity_Ah:
            resistances.append(float(voltage[read] - voltage[rest]) / step)
    return [r for r in resistances if r > 0]
