"""Remaining useful life (RUL): the fade of a cell, extrapolated and corrected by reference cells at the same SOH."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter
from scipy.stats import theilslopes

Array = npt.NDArray[np.float64]
MIN_CHECKUPS = 4
MIN_REFERENCE_CELLS = 4
_MAX_POINTS = 60  # more check-ups are reduced to medians of so many groups: less noise, less time
_NEWEST_POINTS = 5  # points that give the present SOH


@dataclass(frozen=True)
class ReferenceCell:
    """A cell with measured SOH, down to its end of life or not that far.

    Args:
        cell_id: name of the cell.
        conditions: conditions it shares with other cells, the narrowest first, such as ("NCA at 25 degC", "NCA").
        usage: equivalent full cycles (or cycles) at each check-up, shape (T,), rising.
        soh: measured, shape (T,).
    """

    cell_id: str
    conditions: tuple[str, ...]
    usage: Array
    soh: Array


@dataclass(frozen=True)
class FadeTrend:
    """Present state and fade rate of a cell.

    Args:
        usage: at the newest check-up.
        soh: at the newest check-up, by a robust line through the newest points.
        slope: SOH per unit of usage over the whole history (Theil-Sen); negative.
        steepest: lower end of the slope's interval.
        flattest: upper end of the slope's interval.
    """

    usage: float
    soh: float
    slope: float
    steepest: float
    flattest: float


@dataclass(frozen=True)
class Forecast:
    """Remaining useful life, in units of usage.

    Args:
        rul: the estimate; NaN where there is no forecast.
        low: lower end of the interval.
        high: upper end of the interval; infinite where the fade is close to zero.
        n_reference_cells: reference cells that the forecast is based on; 0: the history of the cell alone.
        basis: data and method of the forecast, in words.
    """

    rul: float
    low: float
    high: float
    n_reference_cells: int
    basis: str


def forecast_rul(
    usage: npt.ArrayLike,
    soh: npt.ArrayLike,
    end_of_life: float,
    reference_cells: Sequence[ReferenceCell] = (),
    conditions: Sequence[str] = (),
    half_width: float = 0.0,
    coverage: float = 0.9,
) -> Forecast:
    """Return the usage that is left until the SOH of a cell is down at its end of life.

    1. A robust line through the whole history (Theil-Sen) gives a linear RUL.
    2. Each reference cell is evaluated at the same SOH: its true RUL, and its linear RUL at that time.
    3. The linear RUL is corrected by the median ratio of true to linear RUL, or replaced by the median true RUL:
       whichever spreads less over the reference cells.
    4. Quantiles over the reference cells and the half width of the SOH interval give the interval of the RUL.

    The narrowest condition with ``MIN_REFERENCE_CELLS`` cells is used. A cell with a higher SOH than the first
    check-ups of the reference cells gets their total life less its usage. Without reference cells the linear RUL and
    the interval of its slope are returned; they do not include a later knee.

    Args:
        usage: at each check-up, shape (T,), rising.
        soh: predicted for each check-up, shape (T,).
        end_of_life: SOH.
        reference_cells: other cells; never the cell itself.
        conditions: conditions of the cell, as in ``ReferenceCell``.
        half_width: half the width of the SOH interval, as a fraction.
        coverage: nominal coverage of the interval over cells.

    Reference:
        P. K. Sen, Estimates of the regression coefficient based on Kendall's tau (1968).

    Example:
        >>> usage = np.arange(10.0)
        >>> result = forecast_rul(usage, 1 - 0.01 * usage, end_of_life=0.8)
        >>> round(result.rul, 6), result.n_reference_cells
        (11.0, 0)
    """
    finite = np.isfinite(np.asarray(usage, dtype=np.float64)) & np.isfinite(np.asarray(soh, dtype=np.float64))
    x, y = np.asarray(usage, dtype=np.float64)[finite], np.asarray(soh, dtype=np.float64)[finite]
    if len(x) < MIN_CHECKUPS:
        return _no_forecast(f"{len(x)} check-ups are too few")
    now = fit_trend(x, y, coverage)
    least, most = (max(now.soh + sign * half_width - end_of_life, 0.0) for sign in (-1, 1))
    if now.soh <= end_of_life:
        return Forecast(0.0, 0.0, most / -now.slope if now.slope < 0 else 0.0, 0, "at end of life")
    ruls, basis = _from_reference_cells(reference_cells, conditions, now, end_of_life)
    if len(ruls):
        low, high = _outer_quantiles(ruls, coverage)
        margin = now.soh - end_of_life
        median = float(np.median(ruls))
        return Forecast(median, min(low * least / margin, median), max(high * most / margin, median), len(ruls), basis)
    if now.slope >= 0:
        return _no_forecast("no fade measured and no reference cells")
    slowest = most / -now.flattest if now.flattest < 0 else np.inf
    rul = _linear_rul(now, end_of_life)
    return Forecast(rul, least / -now.steepest, slowest, 0, "linear fade of this cell alone; a knee is not included")


def fit_trend(usage: Array, soh: Array, coverage: float = 0.9) -> FadeTrend:
    """Return the present state and the fade rate of a cell, from at least two check-ups in the order of usage."""
    x, y = _thin(usage, soh)
    end: Any = theilslopes(y[-_NEWEST_POINTS:], x[-_NEWEST_POINTS:])
    whole: Any = theilslopes(y, x, alpha=coverage)
    soh_now = float(end.intercept + end.slope * usage[-1])
    slope, steepest, flattest = (float(value) for value in (whole.slope, whole.low_slope, whole.high_slope))
    return FadeTrend(float(usage[-1]), soh_now, slope, min(steepest, slope), max(flattest, slope))


def usage_at_soh(usage: Array, soh: Array, level: float) -> float:
    """Return the usage at which a measured SOH first reaches a level; NaN if it never does, or starts below it.

    A single low reading does not count: with many check-ups the running median of five is used.

    Example:
        >>> round(usage_at_soh(np.array([0.0, 10.0, 20.0]), np.array([1.0, 0.9, 0.7]), 0.8), 6)
        15.0
    """
    if len(usage) > _MAX_POINTS:
        soh = median_filter(soh, size=5, mode="nearest")
    least = np.minimum.accumulate(soh)
    below = np.flatnonzero(least <= level)
    if not len(below) or below[0] == 0:
        return float("nan")
    i = int(below[0])
    share = (least[i - 1] - level) / (least[i - 1] - least[i])
    return float(usage[i - 1] + share * (usage[i] - usage[i - 1]))


def _linear_rul(now: FadeTrend, end_of_life: float) -> float:
    return (now.soh - end_of_life) / -now.slope


def _from_reference_cells(
    reference_cells: Sequence[ReferenceCell], conditions: Sequence[str], now: FadeTrend, end_of_life: float
) -> tuple[Array, str]:
    """Return the RUL by the example of each reference cell, shape (C,), and the basis in words."""
    for condition in (*conditions, ""):
        like = [cell for cell in reference_cells if not condition or condition in cell.conditions]
        name = f"reference cells of {condition}" if condition else "reference cells"
        pairs = np.array([pair for cell in like if (pair := _rul_at_soh(cell, now.soh, end_of_life)) is not None])
        if len(pairs) >= MIN_REFERENCE_CELLS:
            true, ratio = pairs[:, 0], pairs[:, 1]
            if now.slope < 0 and np.isfinite(ratio).all() and _log_spread(ratio) < _log_spread(true):
                basis = f"linear fade, corrected by {len(pairs)} {name} at the same SOH"
                return ratio * _linear_rul(now, end_of_life), basis
            return true, f"remaining life of {len(pairs)} {name} at the same SOH"
        lives = np.array([usage_at_soh(cell.usage, cell.soh, end_of_life) for cell in like])
        lives = lives[np.isfinite(lives)]
        if len(lives) >= MIN_REFERENCE_CELLS:
            return np.maximum(lives - now.usage, 0.0), f"total life of {len(lives)} {name}"
    return np.empty(0), ""


def _rul_at_soh(cell: ReferenceCell, level: float, end_of_life: float) -> tuple[float, float] | None:
    """Return the true RUL of a cell at an SOH and its ratio to the linear RUL there; None where it is not measured."""
    end, at = usage_at_soh(cell.usage, cell.soh, end_of_life), usage_at_soh(cell.usage, cell.soh, level)
    n = int(np.searchsorted(cell.usage, at)) + 1
    if not at < end or n < MIN_CHECKUPS or cell.usage[n - 1] >= end:  # also when one is NaN
        return None
    then = fit_trend(cell.usage[:n], cell.soh[:n])
    true, is_fading = end - then.usage, then.slope < 0 and then.soh > end_of_life
    return true, true / _linear_rul(then, end_of_life) if is_fading else float("nan")


def _log_spread(values: Array) -> float:
    """Return the interquartile range of the logarithms of positive values."""
    low, high = np.quantile(np.log(values), [0.25, 0.75])
    return float(high - low)


def _outer_quantiles(values: Array, coverage: float) -> tuple[float, float]:
    """Return quantiles that hold a new value at least with this probability; the extremes where values are few."""
    n, tail = len(values), (1.0 - coverage) / 2.0
    ordered, rank = np.sort(values), int(np.floor(tail * (n + 1)))
    return float(ordered[max(rank - 1, 0)]), float(ordered[min(n - rank, n - 1)])


def _thin(usage: Array, soh: Array) -> tuple[Array, Array]:
    """Return at most ``_MAX_POINTS`` points: medians of groups of neighbouring check-ups."""
    if len(usage) <= _MAX_POINTS:
        return usage, soh
    groups = np.array_split(np.arange(len(usage)), _MAX_POINTS)
    medians = np.array([(np.median(usage[group]), np.median(soh[group])) for group in groups])
    return medians[:, 0], medians[:, 1]


def _no_forecast(reason: str) -> Forecast:
    return Forecast(float("nan"), float("nan"), float("nan"), 0, reason)
