"""Differential voltage: the main dV/dQ peaks of a charge over the charge passed, for quantised, noisy curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from scipy.signal import find_peaks, savgol_filter

from battery_core.data.extraction.base import Array, HalfCycle, Measurement, charge_of, vertex
from battery_core.data.extraction.settings import ExtractionSettings
from battery_core.data.tables.roles import Role

_POLYNOMIAL_ORDER = 3
_MOSTLY = 0.98  # of the samples of a constant current; a cycler may stumble over one


class DifferentialVoltage(Measurement):
    """Extract position and height of the two main dV/dQ peaks of a charge, their distance and the valley between.

    Peaks lie between the voltage plateaus of an electrode, mainly between the stages of graphite. A common shift of
    both peaks indicates loss of lithium; a smaller distance indicates loss of active material. Charge is counted from
    the start of the charge, inside ``dva_window`` of the nominal capacity. The two most prominent peaks are used, with
    a prominence of ``dva_prominence_V`` at least. Without peaks, or where the current changes, the columns are NaN.

    ``dva_full_charge_Ah``, the charge between both ends of the curve, is the capacity itself, and a position as a share
    of it needs it: both are refused as features. ``dva_peak_of_nominal`` is relative to the nominal capacity.

    Reference: Bloom, Jansen, Abraham et al., J. Power Sources 139, 295 (2005); Dubarry, Truchot, Liaw, J. Power Sources
    219, 204 (2012).
    """

    name = "dva"
    columns: ClassVar[Mapping[str, Role]] = {
        "dva_peak_Ah": Role.MEASUREMENT,
        "dva_peak_of_nominal": Role.MEASUREMENT,
        "dva_peak_height_V_per_Ah": Role.MEASUREMENT,
        "dva_second_peak_Ah": Role.MEASUREMENT,
        "dva_second_peak_height_V_per_Ah": Role.MEASUREMENT,
        "dva_peak_distance_Ah": Role.MEASUREMENT,
        "dva_valley_V_per_Ah": Role.MEASUREMENT,
        "dva_full_charge_Ah": Role.LABEL_EQUIVALENT,
        "dva_peak_of_full": Role.LABEL_EQUIVALENT,
    }

    def measure(self, curves: Mapping[str, HalfCycle], settings: ExtractionSettings) -> dict[str, float]:
        """Return the peaks, from the charge alone."""
        charge = charge_of(curves)
        if charge is None:
            return {}
        return dva_peaks(charge, settings)


def dva_peaks(half: HalfCycle, settings: ExtractionSettings) -> dict[str, float]:
    """Return the columns of ``DifferentialVoltage`` for any half cycle; a discharge is the curve of the label."""
    full = float(np.abs(np.trapezoid(half.current_A, half.time_s)) / 3600.0)
    peak_columns = {"dva_full_charge_Ah": full}
    charge, slope = differential_voltage(half, settings)
    peaks, shape = find_peaks(slope, prominence=settings.dva_prominence_V / half.nominal_capacity_Ah)
    if len(peaks) == 0:
        return peak_columns
    main = np.sort(peaks[np.argsort(shape["prominences"])[-2:]])
    first, second = int(main[0]), int(main[-1])
    at, height = vertex(charge, slope, first)
    peak_columns |= {
        "dva_peak_Ah": at,
        "dva_peak_of_nominal": at / half.nominal_capacity_Ah,
        "dva_peak_of_full": at / full,
    }
    peak_columns |= {"dva_peak_height_V_per_Ah": height}
    if first == second:
        return peak_columns
    second_at, second_height = vertex(charge, slope, second)
    return peak_columns | {
        "dva_second_peak_Ah": second_at,
        "dva_second_peak_height_V_per_Ah": second_height,
        "dva_peak_distance_Ah": second_at - at,
        "dva_valley_V_per_Ah": float(slope[first:second].min()),
    }


def differential_voltage(half: HalfCycle, settings: ExtractionSettings) -> tuple[Array, Array]:
    """Return charge passed and smoothed dV/dQ, in Ah and V/Ah, positive in a discharge too; may be empty.

    The voltage is averaged between the lines of a charge grid, so that neither noise, nor a coarse resolution, nor how
    often the cycler writes plays a part; then a Savitzky-Golay filter. Half a filter is left out at either end.

    Shape: (G,) each.

    Example:
        >>> time = np.linspace(0.0, 3600.0, 500)
        >>> ramp = HalfCycle(time, 3.0 + time / 3600.0, np.full(500, 2.0), 2.0)
        >>> charge, slope = differential_voltage(ramp, ExtractionSettings())
        >>> bool(np.allclose(slope, 0.5))
        True
    """
    part = _constant_current(half, settings.cc_tolerance)
    passed = np.abs(half.charge_Ah())[part]
    grid = settings.dva_grid * half.nominal_capacity_Ah
    length = max(2 * round(settings.dva_smooth / settings.dva_grid / 2) + 1, _POLYNOMIAL_ORDER + 2)
    low, high = (share * half.nominal_capacity_Ah for share in settings.dva_window)
    if len(passed) < length or passed[-1] <= low:
        return np.array([]), np.array([])
    edges = np.arange(max(passed[0], low), min(passed[-1], high), grid)
    if len(edges) <= length:
        return np.array([]), np.array([])
    rise = np.sign(np.sum(half.current_A[part]))
    mean_V = _mean_between(edges, passed, rise * half.voltage_V[part])
    slope = savgol_filter(mean_V, length, _POLYNOMIAL_ORDER, deriv=1, delta=grid)
    inside = slice(length // 2, len(slope) - length // 2)
    return (edges[1:] + edges[:-1])[inside] / 2.0, slope[inside]


def _constant_current(half: HalfCycle, tolerance: float) -> slice:
    """Return the samples at the current that passes most of the charge; empty where it is not constant."""
    current = np.abs(half.current_A)
    order = np.argsort(current)
    passed = np.cumsum((np.gradient(half.time_s) * current)[order])
    level = current[order][int(np.searchsorted(passed, passed[-1] / 2.0))]
    is_level = np.abs(current - level) <= tolerance * level
    samples = np.flatnonzero(is_level)
    span = slice(int(samples[0]), int(samples[-1]) + 1)
    return span if is_level[span].mean() >= _MOSTLY else slice(0, 0)


def _mean_between(edges: Array, at: Array, values: Array) -> Array:
    """Return the mean of a piecewise linear curve between neighbouring edges, shape (E,) -> (E - 1,)."""
    points = np.union1d(at, edges)
    line = np.interp(points, at, values)
    area = np.concatenate([[0.0], np.cumsum(np.diff(points) * (line[1:] + line[:-1]) / 2.0)])
    return np.diff(area[np.searchsorted(points, edges)]) / np.diff(edges)
