"""Incremental capacity: the main dQ/dV peak of a charge, for quantised, non-monotonic curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from scipy.signal import savgol_filter

from battery_core.data.extraction.base import Array, HalfCycle, Measurement, charge_of, vertex
from battery_core.data.extraction.settings import ExtractionSettings
from battery_core.data.tables.roles import Role

_POLYNOMIAL_ORDER = 3


class IncrementalCapacity(Measurement):
    """Extract voltage, height, width and area of the tallest dQ/dV peak of a charge inside a voltage window.

    dQ/dV is the charge that passes between neighbouring voltage levels, however often the voltage crosses them, so
    noise and a coarse voltage resolution need no monotone curve (level averaging); then a Savitzky-Golay filter. The
    peak is NaN where the charge does not cover the window under current, or is highest at one of its edges. The width
    is between the half heights, or the edge of the window, and the area that between them: a part of the charge.

    ``ica_full_area_Ah``, the area over the whole charge, is the capacity itself, and refused as a feature.

    Reference: Feng, Merla, Weng, Ouyang, He et al., eTransportation 3, 100051 (2020), level evaluation of dQ/dV.
    """

    name = "ica"
    columns: ClassVar[Mapping[str, Role]] = {
        "ica_peak_voltage_V": Role.MEASUREMENT,
        "ica_peak_height_Ah_per_V": Role.MEASUREMENT,
        "ica_peak_width_V": Role.MEASUREMENT,
        "ica_peak_area_Ah": Role.MEASUREMENT,
        "ica_full_area_Ah": Role.LABEL_EQUIVALENT,
    }

    def measure(self, curves: Mapping[str, HalfCycle], settings: ExtractionSettings) -> dict[str, float]:
        """Return the peak, from the charge alone."""
        charge = charge_of(curves)
        if charge is None:
            return {}
        full = {"ica_full_area_Ah": float(charge_between(charge, np.array([0.0, np.inf]))[0])}
        if not _covers(charge, settings.ica_window_V):
            return full
        return full | _peak(*incremental_capacity(charge, settings))


def charge_between(charge: HalfCycle, levels_V: Array) -> Array:
    """Return the charge passed between neighbouring voltage levels, shape (L,) -> (L - 1,), in Ah.

    Between two samples the charge is spread evenly over the voltages between them.

    Example:
        >>> ramp = HalfCycle(np.array([0.0, 3600.0]), np.array([3.0, 4.0]), np.array([2.0, 2.0]), 2.0)
        >>> charge_between(ramp, np.array([3.0, 3.25, 4.0])).tolist()
        [0.5, 1.5]
    """
    passed = np.diff(charge.charge_Ah())
    taken = (charge.current_A[1:] > 0) & (charge.current_A[:-1] > 0)
    low = np.minimum(charge.voltage_V[1:], charge.voltage_V[:-1])[taken]
    high = np.maximum(charge.voltage_V[1:], charge.voltage_V[:-1])[taken]
    passed, span = passed[taken], np.maximum(high - low, 1e-9)  # a flat stretch belongs to one level
    below = np.clip((levels_V[:, None] - low) / span, 0.0, 1.0) @ passed  # (L, N) @ (N,) -> (L,)
    return np.diff(below)


def incremental_capacity(charge: HalfCycle, settings: ExtractionSettings) -> tuple[Array, Array]:
    """Return voltages inside the window and smoothed dQ/dV, in V and Ah/V."""
    low, high = settings.ica_window_V
    grid, margin = settings.ica_grid_V, settings.ica_smooth_V
    count = round((high - low + 2 * margin) / grid)
    levels: Array = low - margin + grid * np.arange(count + 1, dtype=np.float64)
    rate = charge_between(charge, levels) / grid
    length = max(2 * round(settings.ica_smooth_V / grid / 2) + 1, _POLYNOMIAL_ORDER + 2)
    smooth = savgol_filter(rate, length, _POLYNOMIAL_ORDER) if len(rate) >= length else rate
    middle = (levels[1:] + levels[:-1]) / 2
    inside = (middle > low) & (middle < high)
    return middle[inside], smooth[inside]


def _covers(charge: HalfCycle, window_V: tuple[float, float]) -> bool:
    voltage = charge.voltage_V[charge.current_A > 0]
    return bool(voltage.min() <= window_V[0] and voltage.max() >= window_V[1])


def _peak(voltage: Array, rate: Array) -> dict[str, float]:
    top = int(np.argmax(rate))
    if top in (0, len(rate) - 1) or rate[top] <= 0:
        return {}
    at, height = vertex(voltage, rate, top)
    low = _half_height(voltage[: top + 1][::-1], rate[: top + 1][::-1], height / 2)
    high = _half_height(voltage[top:], rate[top:], height / 2)
    inside = np.linspace(low, high, 200)
    return {
        "ica_peak_voltage_V": at,
        "ica_peak_height_Ah_per_V": height,
        "ica_peak_width_V": high - low,
        "ica_peak_area_Ah": float(np.trapezoid(np.interp(inside, voltage, rate), inside)),
    }


def _half_height(voltage: Array, rate: Array, half: float) -> float:
    """Return where a flank first falls to ``half``, from its top down; its end where it does not."""
    under = np.flatnonzero(rate < half)
    if len(under) == 0:
        return float(voltage[-1])
    i = int(under[0])
    share = (rate[i - 1] - half) / (rate[i - 1] - rate[i])
    return float(voltage[i - 1] + share * (voltage[i] - voltage[i - 1]))
