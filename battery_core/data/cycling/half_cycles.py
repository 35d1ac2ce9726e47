"""Detection of half cycles: charges and discharges of a record, from the charge passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from battery_core.data.cycling.record import SECONDS_PER_HOUR, Array, Record, passed_charge


@dataclass(frozen=True)
class HalfCycle:
    """Store one charge or one discharge, with the rests and short reversals inside it.

    Args:
        kind: charge or discharge.
        start, stop: first and last sample, both part of it; the first is the one before the current begins.
        charge_Ah: net charge that passed, positive for both kinds.
        under_current_s: time with current, without rests.
        lowest_V, highest_V: ends of the voltage seen.
        has_hole: the record has a hole inside, so that ``charge_Ah`` is too small.
    """

    kind: Literal["charge", "discharge"]
    start: int
    stop: int
    charge_Ah: float
    under_current_s: float
    lowest_V: float
    highest_V: float
    has_hole: bool

    def c_rate(self, nominal_Ah: float) -> float:
        """Return the mean C-rate while current flows. Units: 1/h."""
        hours = self.under_current_s / SECONDS_PER_HOUR
        return self.charge_Ah / hours / nominal_Ah if hours > 0 else float("inf")


def half_cycles(
    record: Record, nominal_Ah: float, *, rest_current: float, min_half_cycle: float, max_gap_s: float
) -> list[HalfCycle]:
    """Return charges and discharges in time order, alternating.

    A half cycle lasts from one turning point of the net charge to the next; a reversal that passes less than
    ``min_half_cycle`` of the nominal capacity (a pulse, regenerative braking) makes no turning point. So neither the
    sampling nor pauses nor pulses change the result.

    Example:
        >>> time = np.arange(0.0, 4 * 3600.0, 600.0)
        >>> current = np.where(time < 7200.0, 1.0, -1.0)
        >>> record = Record(time, 3.5 + current / 10, current, np.full(len(time), 25.0))
        >>> halves = half_cycles(record, 2.0, rest_current=0.002, min_half_cycle=0.05, max_gap_s=900.0)
        >>> [(half.kind, round(half.charge_Ah, 2)) for half in halves]
        [('charge', 1.83), ('discharge', 1.83)]
    """
    if len(record) < 2:
        return []
    charge, hole = passed_charge(record, max_gap_s, rest_current * nominal_Ah)
    flows = np.abs(charge) > rest_current * nominal_Ah * np.diff(record.time_s) / SECONDS_PER_HOUR
    net = np.concatenate([[0.0], np.cumsum(charge)])
    ends = _ends_of_runs(np.sign(charge))
    turns = [int(ends[i]) for i in turning_points(net[ends], min_half_cycle * nominal_Ah)]
    halves = [_half_cycle(record, net, flows, hole, a, b) for a, b in pairwise(turns)]
    return [half for half in halves if half is not None]


def turning_points(net: npt.ArrayLike, hysteresis: float) -> list[int]:
    """Return the turning points of a quantity beyond ``hysteresis``, with its first and last extreme.

    Example:
        >>> turning_points([0.0, 2.0, 1.9, 3.0, 0.0], hysteresis=0.5)
        [0, 3, 4]
    """
    values = np.asarray(net, dtype=float).tolist()
    points: list[int] = []
    low = high = direction = 0
    for i, value in enumerate(values):
        if direction >= 0 and value > values[high]:
            high = i
        if direction <= 0 and value < values[low]:
            low = i
        if direction >= 0 and values[high] - value > hysteresis:
            points.append(high)
            direction, low = -1, i
        elif direction <= 0 and value - values[low] > hysteresis:
            points.append(low)
            direction, high = 1, i
    return [*points, high if direction > 0 else low] if points else []


def steps(current_A: Array, rest_A: float) -> int:
    """Count the steps of a record: runs of charge, discharge or rest.

    Example:
        >>> steps(np.array([0.0, 1.0, 1.0, 0.0, -1.0]), rest_A=0.01)
        4
    """
    modes = np.where(np.abs(current_A) > rest_A, np.sign(current_A), 0.0)
    return int(np.count_nonzero(np.diff(modes))) + 1 if len(modes) else 0


def _ends_of_runs(signs: Sequence[float] | npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return the samples at which a run of one current direction ends; extremes of the net charge lie only there."""
    changes = np.flatnonzero(np.diff(np.asarray(signs))) + 1
    return np.concatenate([[0], changes, [len(signs)]]).astype(np.intp)


def _half_cycle(
    record: Record, net: Array, flows: npt.NDArray[np.bool_], hole: npt.NDArray[np.bool_], first: int, last: int
) -> HalfCycle | None:
    moving = np.flatnonzero(flows[first:last])
    if len(moving) == 0:
        return None
    start, stop = first + int(moving[0]), first + int(moving[-1]) + 1
    passed = float(net[stop] - net[start])
    volts = record.voltage_V[start : stop + 1]
    under_current = float(np.diff(record.time_s[start : stop + 1])[flows[start:stop]].sum())
    kind: Literal["charge", "discharge"] = "charge" if passed > 0 else "discharge"
    is_broken = bool(hole[start:stop].any())
    return HalfCycle(kind, start, stop, abs(passed), under_current, float(volts.min()), float(volts.max()), is_broken)
