"""How much use a cell has left: its own fade carried on, corrected by how cells before it went on from the same SOH."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
MIN_CHECKUPS = 4
MIN_LIKE_IT = 4
_POINTS = 60  # a history of more check-ups is thinned to medians: noise is less, time is shorter
_AT_END = 5  # thinned check-ups that say where the cell is now


@dataclass(frozen=True)
class ReferenceCell:
    """A cell that has been measured down to its end of life, or not that far.

    Args:
        cell_id: the cell.
        conditions: what it shares with others, the narrowest first, such as ("NCA at 25 degC", "NCA").
        use: equivalent full cycles (or cycles) at each check-up, shape (T,), rising.
        soh: measured, shape (T,).
    """

    cell_id: str
    conditions: tuple[str, ...]
    use: Array
    soh: Array


@dataclass(frozen=True)
class Trend:
    """Where a cell is and how fast it has faded.

    Args:
        use: at its newest check-up.
        soh: there, by a robust line through the newest check-ups.
        slope: SOH per unit of use over the whole past (Theil-Sen); negative.
        steepest: lower end of the slope's interval.
        flattest: upper end of it.
    """

    use: float
    soh: float
    slope: float
    steepest: float
    flattest: float


@dataclass(frozen=True)
class Forecast:
    """Use that is left until the end of life.

    Args:
        left: the estimate; NaN when nothing can be said.
        low: lower end of the interval.
        high: upper end; infinite when the fade is hardly there.
        n_like_it: earlier cells that it was corrected by; 0: the cell's own past alone.
        basis: in words.
    """

    left: float
    low: float
    high: float
    n_like_it: int
    basis: str


def forecast(
    use: npt.ArrayLike,
    soh: npt.ArrayLike,
    end_of_life: float,
    past: Sequence[ReferenceCell] = (),
    conditions: Sequence[str] = (),
    half_width: float = 0.0,
    coverage: float = 0.9,
) -> Forecast:
    """Use left until a cell's SOH is down at its end of life.

    A robust line through the cell's whole past (Theil-Sen) gives a first figure. Cells do not fade along a line, so
    each earlier cell is looked at when it was at the same SOH: what it truly had left, and what the same line gave for
    it then. Either the median of true over first figures corrects the cell's own, or the median of what they had left
    is taken: whichever the earlier cells agree on more. The quantiles and the half width of the SOH's own interval make
    the interval. Cells of the narrowest condition that has ``MIN_LIKE_IT`` of them count. A cell that is fresher than
    they were when first measured is given their lives less its use. Without such cells the line stands alone, with the
    interval of its slope, which knows nothing of a knee.

    Args:
        use: at each check-up, shape (T,), rising.
        soh: predicted for each check-up, shape (T,).
        end_of_life: SOH.
        past: earlier cells; never the cell itself.
        conditions: of the cell, as in ``Past``.
        half_width: how far the SOH may be off, as a fraction.
        coverage: share of cells that the interval is meant to hold.

    Reference:
        P. K. Sen, Estimates of the regression coefficient based on Kendall's tau (1968).

    Example:
        >>> use = np.arange(10.0)
        >>> found = forecast(use, 1 - 0.01 * use, end_of_life=0.8)
        >>> round(found.left, 6), found.n_like_it
        (11.0, 0)
    """
    known = np.isfinite(np.asarray(use, dtype=np.float64)) & np.isfinite(np.asarray(soh, dtype=np.float64))
    x, y = np.asarray(use, dtype=np.float64)[known], np.asarray(soh, dtype=np.float64)[known]
    if len(x) < MIN_CHECKUPS:
        return _nothing(f"{len(x)} check-ups are too few")
    now = trend(x, y, coverage)
    least, most = (max(now.soh + sign * half_width - end_of_life, 0.0) for sign in (-1, 1))
    if now.soh <= end_of_life:
        return Forecast(0.0, 0.0, most / -now.slope if now.slope < 0 else 0.0, 0, "at its end of life")
    found, basis = _by_others(past, conditions, now, end_of_life)
    if len(found):
        low, high = _outer_quantiles(found, coverage)
        wider = now.soh - end_of_life
        middle = float(np.median(found))
        return Forecast(middle, min(low * least / wider, middle), max(high * most / wider, middle), len(found), basis)
    if now.slope >= 0:
        return _nothing("no fade yet, and no earlier cells")
    slowest = most / -now.flattest if now.flattest < 0 else np.inf
    left = _left(now, end_of_life)
    return Forecast(left, least / -now.steepest, slowest, 0, "own fade alone: a knee is not foreseen")


def trend(use: Array, soh: Array, coverage: float = 0.9) -> Trend:
    """Where a cell is and how fast it has faded, from at least two check-ups in the order of use."""
    from scipy.stats import theilslopes

    x, y = _thinned(use, soh)
    end: Any = theilslopes(y[-_AT_END:], x[-_AT_END:])
    whole: Any = theilslopes(y, x, alpha=coverage)
    at_end = float(end.intercept + end.slope * use[-1])
    slope, steepest, flattest = (float(value) for value in (whole.slope, whole.low_slope, whole.high_slope))
    return Trend(float(use[-1]), at_end, slope, min(steepest, slope), max(flattest, slope))


def use_at(use: Array, soh: Array, level: float) -> float:
    """Use at which a measured SOH first came down to a level; NaN when it did not, or began there.

    A single low reading does not count: SOH is taken as the running median of five check-ups where there are many.

    Example:
        >>> round(use_at(np.array([0.0, 10.0, 20.0]), np.array([1.0, 0.9, 0.7]), 0.8), 6)
        15.0
    """
    if len(use) > _POINTS:
        from scipy.ndimage import median_filter

        soh = median_filter(soh, size=5, mode="nearest")
    least = np.minimum.accumulate(soh)
    below = np.flatnonzero(least <= level)
    if not len(below) or below[0] == 0:
        return float("nan")
    i = int(below[0])
    share = (least[i - 1] - level) / (least[i - 1] - least[i])
    return float(use[i - 1] + share * (use[i] - use[i - 1]))


def _left(now: Trend, end_of_life: float) -> float:
    return (now.soh - end_of_life) / -now.slope


def _by_others(
    past: Sequence[ReferenceCell], conditions: Sequence[str], now: Trend, end_of_life: float
) -> tuple[Array, str]:
    """What the cell would have left if it went on like each of the earlier cells, shape (C,), and which they are."""
    for condition in (*conditions, ""):
        like = [cell for cell in past if not condition or condition in cell.conditions]
        who = f"earlier cells of {condition}" if condition else "earlier cells"
        seen = np.array([pair for cell in like if (pair := _then(cell, now.soh, end_of_life)) is not None])
        if len(seen) >= MIN_LIKE_IT:
            left, ratio = seen[:, 0], seen[:, 1]
            if now.slope < 0 and np.isfinite(ratio).all() and _spread(ratio) < _spread(left):
                return ratio * _left(now, end_of_life), f"own fade, corrected by {len(seen)} {who} from the same SOH on"
            return left, f"what {len(seen)} {who} had left at the same SOH"
        lives = np.array([use_at(cell.use, cell.soh, end_of_life) for cell in like])
        lives = lives[np.isfinite(lives)]
        if len(lives) >= MIN_LIKE_IT:
            return np.maximum(lives - now.use, 0.0), f"the lives of {len(lives)} {who}"
    return np.empty(0), ""


def _then(cell: ReferenceCell, level: float, end_of_life: float) -> tuple[float, float] | None:
    """What a cell had left at an SOH, and that over what its line gave then; None when it does not tell."""
    end, at = use_at(cell.use, cell.soh, end_of_life), use_at(cell.use, cell.soh, level)
    n = int(np.searchsorted(cell.use, at)) + 1
    if not at < end or n < MIN_CHECKUPS or cell.use[n - 1] >= end:  # also when one is NaN
        return None
    then = trend(cell.use[:n], cell.soh[:n])
    told = then.slope < 0 and then.soh > end_of_life
    return end - then.use, (end - then.use) / _left(then, end_of_life) if told else float("nan")


def _spread(values: Array) -> float:
    """How far positive figures are apart, as the width of the middle half of their logarithms."""
    low, high = np.quantile(np.log(values), [0.25, 0.75])
    return float(high - low)


def _outer_quantiles(values: Array, coverage: float) -> tuple[float, float]:
    """Quantiles that hold a new value at least with this probability, or the extremes where values are few."""
    n, tail = len(values), (1.0 - coverage) / 2.0
    ordered, rank = np.sort(values), int(np.floor(tail * (n + 1)))
    return float(ordered[max(rank - 1, 0)]), float(ordered[min(n - rank, n - 1)])


def _thinned(use: Array, soh: Array) -> tuple[Array, Array]:
    if len(use) <= _POINTS:
        return use, soh
    parts = np.array_split(np.arange(len(use)), _POINTS)
    return np.array([np.median(use[part]) for part in parts]), np.array([np.median(soh[part]) for part in parts])


def _nothing(why: str) -> Forecast:
    return Forecast(float("nan"), float("nan"), float("nan"), 0, why)
