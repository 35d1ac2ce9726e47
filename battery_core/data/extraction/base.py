"""The interface of a measurement: numbers of one check-up from its charge or discharge curve."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from battery_core.data.extraction.settings import ExtractionSettings
from battery_core.data.tables.roles import Role

Array = npt.NDArray[np.float64]
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class HalfCycle:
    """Store one charge or discharge, in time order, without missing values and duplicate times.

    Shape: (N,) each. Units: in the names; charge current is positive, in a discharge too (negative).

    Args:
        time_s, voltage_V, current_A: the curve.
        nominal_capacity_Ah: of the cell.
    """

    time_s: Array
    voltage_V: Array
    current_A: Array
    nominal_capacity_Ah: float

    @classmethod
    def clean(cls, time_s: Array, voltage_V: Array, current_A: Array, nominal_capacity_Ah: float) -> HalfCycle:
        """Return samples sorted by time; of several at one time the last is used, as after a range switch.

        Example:
            >>> half = HalfCycle.clean(*np.array([[2.0, 1.0, 2.0], [3.1, 3.0, 3.2], [1.0, 1.0, 1.0]]), 2.0)
            >>> half.voltage_V.tolist()
            [3.0, 3.2]
        """
        finite = np.isfinite(time_s) & np.isfinite(voltage_V) & np.isfinite(current_A)
        time, voltage, current = time_s[finite], voltage_V[finite], current_A[finite]
        order = np.argsort(time, kind="stable")
        time, voltage, current = time[order], voltage[order], current[order]
        last = np.append(np.diff(time) > 0, True)[: len(time)]
        return cls(time[last], voltage[last], current[last], nominal_capacity_Ah)

    def charge_Ah(self) -> Array:
        """Return the charge passed since the first sample, shape (N,): trapezoid integral of the current."""
        step = np.diff(self.time_s) * (self.current_A[1:] + self.current_A[:-1]) / 2.0 / SECONDS_PER_HOUR
        return np.concatenate([[0.0], np.cumsum(step)])


class Measurement(ABC):
    """Extract numbers from the curves of one check-up; a new measurement is one file and one line in the registry."""

    name: ClassVar[str]
    columns: ClassVar[Mapping[str, Role]]
    """The check-up columns it fills, each with its role."""

    @abstractmethod
    def measure(self, curves: Mapping[str, HalfCycle], settings: ExtractionSettings) -> dict[str, float]:
        """Return the columns that can be measured; ``curves`` has ``charge``, ``discharge``, both or none.

        A measurement must not use the complete discharge: its charge is the label.
        """


def charge_of(curves: Mapping[str, HalfCycle]) -> HalfCycle | None:
    """Return the charge of a check-up; None where there is none, or no current flowed in it."""
    charge = curves.get("charge")
    return charge if charge is not None and bool((charge.current_A > 0).any()) else None


def crossing(time_s: Array, values: Array, level: float, index: int) -> float:
    """Return the time at which the line from sample ``index`` to the next one crosses ``level``.

    Example:
        >>> crossing(np.array([0.0, 10.0]), np.array([3.0, 4.0]), 3.25, 0)
        2.5
    """
    rise = values[index + 1] - values[index]
    share = float((level - values[index]) / rise) if rise else 0.0
    return float(time_s[index] + share * (time_s[index + 1] - time_s[index]))


def vertex(at: Array, values: Array, index: int) -> tuple[float, float]:
    """Return position and height of a peak on an even grid, from a parabola through three samples.

    Example:
        >>> place = np.array([0.0, 1.0, 2.0])
        >>> vertex(place, 3.0 - (place - 1.25) ** 2, 1)
        (1.25, 3.0)
    """
    before, top, after = values[index - 1 : index + 2]
    shift = float(0.5 * (before - after) / (before - 2 * top + after))
    return float(at[index] + shift * (at[1] - at[0])), float(top - 0.25 * (before - after) * shift)
