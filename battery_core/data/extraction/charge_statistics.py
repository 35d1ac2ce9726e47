"""The 16 statistics of the end of a charge, from its raw curve: constant current, then constant voltage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from battery_core.data.extraction.base import Array, HalfCycle, Measurement, crossing
from battery_core.data.extraction.settings import ExtractionSettings
from battery_core.data.tables.roles import CHARGE_STATISTICS, Role

_NEAR_CUTOFF_V = 0.03  # the charge has arrived at its cut-off this close to its highest voltage
_MOSTLY = 0.98  # of the samples of a constant current; a cycler may stumble over one
_LEAST_SAMPLES = 10  # of a part: the fourth moment of fewer is noise


class ChargeStatisticsOfCurve(Measurement):
    """Extract mean, std, kurtosis, skewness, slope, entropy, charge and time of two segments of a charge.

    Constant current: from ``window_V`` below the cut-off until the current leaves its level. Constant voltage: from the
    higher to the lower of ``cv_window_per_h``. Both ends of a part are interpolated, and the part is sampled
    anew every ``sample_s``, so that the rate of the cycler plays no part. A part that the charge does not cover is NaN.

    Definitions: std of the population; kurtosis is the excess (0 for a normal distribution); slope is the straight line
    of least squares; entropy is Shannon's, in nats, of the samples above their lowest, divided by their sum. Those of
    moments, charge, time and entropy agree with the published tables; theirs of the slope is not known.

    Reference: Wang, Zhai, Zhao, Di, Chen, Nature Communications 15, 4332 (2024), windows of 0.2 V and 0.5 to 0.1 A at
    2 Ah.
    """

    name = "charge_statistics"
    columns = dict.fromkeys(CHARGE_STATISTICS, Role.MEASUREMENT)

    def measure(self, curves: Mapping[str, HalfCycle], settings: ExtractionSettings) -> dict[str, float]:
        """Return the statistics, from the charge alone."""
        charge = curves.get("charge")
        if charge is None:
            return {}
        arrived = _arrival(charge)
        voltage_segment = _cv_part(charge, arrived, settings) if arrived is not None else None
        if voltage_segment is None or arrived is None:
            return {}
        values = _statistics(charge, voltage_segment, charge.current_A, settings, _CV_COLUMNS)
        current_segment = _cc_part(charge, arrived, voltage_segment, settings)
        if current_segment is not None:
            values |= _statistics(charge, current_segment, charge.voltage_V, settings, _CC_COLUMNS)
        return values


@dataclass(frozen=True)
class Segment:
    """Store the section of a curve between two times."""

    begins_s: float
    ends_s: float


_CC_COLUMNS = {
    "mean": "voltage_mean_V", "std": "voltage_std_V", "kurtosis": "voltage_kurtosis", "skewness": "voltage_skewness",
    "charge": "cc_charge_Ah", "time": "cc_time_s", "slope": "voltage_slope_V_per_s", "entropy": "voltage_entropy",
}  # fmt: skip
_CV_COLUMNS = {
    "mean": "current_mean_A", "std": "current_std_A", "kurtosis": "current_kurtosis", "skewness": "current_skewness",
    "charge": "cv_charge_Ah", "time": "cv_time_s", "slope": "current_slope_A_per_s", "entropy": "current_entropy",
}  # fmt: skip


def _arrival(charge: HalfCycle) -> int | None:
    """Return the first sample near the highest voltage under charge current; None for no charge at all."""
    flows = charge.current_A > 0
    if not flows.any():
        return None
    highest = charge.voltage_V[flows].max()
    return int(np.argmax(flows & (charge.voltage_V >= highest - _NEAR_CUTOFF_V)))


def _cv_part(charge: HalfCycle, arrived: int, settings: ExtractionSettings) -> Segment | None:
    """Return the segment from the last time at the high current level to the first time at the low one."""
    time, current = charge.time_s, charge.current_A
    high, low = (level * charge.nominal_capacity_Ah for level in settings.cv_window_per_h)
    is_high = np.flatnonzero(current[arrived:] >= high)
    if len(is_high) == 0:
        return None
    last_high = arrived + int(is_high[-1])
    is_low = np.flatnonzero(current[last_high:] <= low)
    if len(is_low) == 0:
        return None
    first_low = last_high + int(is_low[0])
    segment = Segment(crossing(time, current, high, last_high), crossing(time, current, low, first_low - 1))
    held = charge.voltage_V[last_high + 1 : first_low]
    is_held = len(held) > 0 and float(np.ptp(held)) <= _NEAR_CUTOFF_V
    return segment if is_held else None  # a current that was switched off is no constant-voltage part


def _cc_part(charge: HalfCycle, arrived: int, after: Segment, settings: ExtractionSettings) -> Segment | None:
    """Return the segment from ``window_V`` below the cut-off to the end of the constant current."""
    time, voltage, current = charge.time_s, charge.voltage_V, charge.current_A
    cutoff = settings.charge_cutoff_V
    if cutoff is None:
        cutoff = float(np.median(np.interp(_sample_times(after, settings), time, voltage)))
    in_window = (voltage >= cutoff - settings.window_V) & (np.arange(len(time)) <= arrived) & (current > 0)
    if not in_window.any():
        return None
    level = float(np.median(current[in_window]))
    is_level = np.abs(current - level) <= settings.cc_tolerance * level
    at_level = np.flatnonzero(is_level & (time < after.begins_s))
    if len(at_level) == 0 or at_level[-1] + 1 >= len(time):
        return None
    last = int(at_level[-1])
    below = np.flatnonzero(voltage[: last + 1] < cutoff - settings.window_V)
    if len(below) == 0 or is_level[below[-1] : last + 1].mean() < _MOSTLY or not is_level[below[-1]]:
        return None  # the voltage jumped into the window, or the current was not constant in it
    begins = crossing(time, voltage, cutoff - settings.window_V, int(below[-1]))
    ends = crossing(time, current, (1.0 - settings.cc_tolerance) * level, last)
    return Segment(begins, ends)


def _statistics(
    charge: HalfCycle, segment: Segment, values: Array, settings: ExtractionSettings, names: Mapping[str, str]
) -> dict[str, float]:
    at = _sample_times(segment, settings)
    if len(at) < _LEAST_SAMPLES:
        return {}
    sampled = np.interp(at, charge.time_s, values)
    passed = np.interp([segment.begins_s, segment.ends_s], charge.time_s, charge.charge_Ah())
    time, away = at - at.mean(), sampled - sampled.mean()
    std = float(sampled.std())
    fraction = (sampled - sampled.min()) / (sampled - sampled.min()).sum()
    fraction = fraction[fraction > 0]  # x ln x is 0 there
    statistics = {
        "mean": sampled.mean(),
        "std": std,
        "kurtosis": (away**4).mean() / std**4 - 3.0,
        "skewness": (away**3).mean() / std**3,
        "charge": passed[1] - passed[0],
        "time": segment.ends_s - segment.begins_s,
        "slope": (time @ away) / (time @ time),
        "entropy": -(fraction @ np.log(fraction)),
    }
    return {names[name]: float(value) for name, value in statistics.items()}


def _sample_times(segment: Segment, settings: ExtractionSettings) -> Array:
    return np.linspace(
        segment.begins_s, segment.ends_s, int((segment.ends_s - segment.begins_s) / settings.sample_s) + 1
    )
