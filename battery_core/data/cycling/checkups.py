"""Detection of check-ups: discharges that count as capacity measurements by a stated rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from battery_core.data.cycling.half_cycles import HalfCycle
from battery_core.data.cycling.record import Array, Record, passed_charge


@dataclass(frozen=True)
class Window:
    """Store the voltage window of full cycles.

    Args:
        lower_V, upper_V: ends of a full discharge and of a full charge.
        tolerance_V: an end counts as reached this close to it.
        measured: True where an end was taken from the data, not stated.
    """

    lower_V: float
    upper_V: float
    tolerance_V: float
    measured: bool = False


@dataclass(frozen=True)
class CheckUp:
    """Store one capacity measurement.

    Args:
        discharge: the full discharge that is the label.
        charge: the full charge before it, if the record has it.
    """

    discharge: HalfCycle
    charge: HalfCycle | None

    @property
    def begins(self) -> int:
        """Return the first sample of the charge before the discharge, or of the discharge itself."""
        return (self.charge or self.discharge).start


def is_empty(half: HalfCycle, window: Window) -> bool:
    """Return whether a discharge reached the lower cut-off."""
    return half.kind == "discharge" and half.lowest_V <= window.lower_V + window.tolerance_V


def find_checkups(
    halves: Sequence[HalfCycle],
    window: Window,
    nominal_Ah: float,
    rule: Literal["every_full_cycle", "low_rate"],
    low_rate: float,
) -> list[CheckUp]:
    """Return the full discharges that count as capacity measurements, in time order.

    Full: the charge before reached the upper cut-off; with no charge before (a record begins) the discharge itself
    begins there. Empty: it reaches the lower cut-off. With ``low_rate`` its mean rate has to be low, too.

    Example:
        >>> charge = HalfCycle("charge", 0, 9, 2.0, 3600.0, 3.0, 4.2, False)
        >>> discharge = HalfCycle("discharge", 9, 19, 1.9, 3600.0, 2.5, 4.1, False)
        >>> len(find_checkups([charge, discharge], Window(2.5, 4.2, 0.03), 2.0, "every_full_cycle", 0.11))
        1
        >>> len(find_checkups([charge, discharge], Window(2.5, 4.2, 0.03), 2.0, "low_rate", 0.11))
        0
    """
    checkups = []
    for before, half in zip([None, *halves], halves, strict=False):
        top = half.highest_V if before is None else before.highest_V
        is_full = is_empty(half, window) and top >= window.upper_V - window.tolerance_V
        if is_full and (rule == "every_full_cycle" or half.c_rate(nominal_Ah) <= low_rate):
            checkups.append(CheckUp(half, before))
    return checkups


def throughput(record: Record, max_gap_s: float, rest_A: float) -> Array:
    """Return the charge passed in both directions up to each sample. Shape: (N,). Units: Ah.

    Read at ``CheckUp.begins``, neither the label's own discharge nor the full charge just before it counts: that
    charge is the label, but for the coulombic efficiency.
    """
    charge, _ = passed_charge(record, max_gap_s, rest_A)
    return np.concatenate([[0.0], np.cumsum(np.abs(charge))])


def capacities(record: Record, checkups: Sequence[CheckUp], lower_V: float, max_gap_s: float, rest_A: float) -> Array:
    """Return the charge of each check-up until the voltage first reaches the lower cut-off, interpolated linearly.

    What flows after that is not counted, so that a discharge that went deeper compares with the others.

    Shape: one value a check-up. Units: Ah.
    """
    charge, _ = passed_charge(record, max_gap_s, rest_A)
    net = np.concatenate([[0.0], np.cumsum(charge)])
    passed = []
    for half in (checkup.discharge for checkup in checkups):
        volts, taken = record.voltage_V[half.start : half.stop + 1], net[half.start] - net[half.start : half.stop + 1]
        below = np.flatnonzero(volts <= lower_V)
        i = int(below[0]) if len(below) else 0
        share = (volts[i - 1] - lower_V) / (volts[i - 1] - volts[i]) if i else 0.0
        passed.append(taken[i - 1] + share * (taken[i] - taken[i - 1]) if i else half.charge_Ah)
    return np.array(passed, dtype=np.float64)


def coulomb_ratios(halves: Sequence[HalfCycle], window: Window) -> list[tuple[HalfCycle, float]]:
    """Return discharges between two full charges with their coulomb ratio: charge in over charge out, close to 1.

    Example:
        >>> full = HalfCycle("charge", 0, 9, 2.0, 3600.0, 3.0, 4.2, False)
        >>> half = HalfCycle("discharge", 9, 19, 1.6, 3600.0, 3.2, 4.1, False)
        >>> [round(ratio, 3) for _, ratio in coulomb_ratios([full, half, full], Window(2.5, 4.2, 0.03))]
        [1.25]
    """
    top = window.upper_V - window.tolerance_V
    return [
        (half, after.charge_Ah / half.charge_Ah)
        for before, half, after in zip(halves, halves[1:], halves[2:], strict=False)
        if half.kind == "discharge" and min(before.highest_V, after.highest_V) >= top
        if not (half.has_hole or after.has_hole)
    ]
