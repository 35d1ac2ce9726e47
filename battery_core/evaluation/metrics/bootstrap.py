"""Bootstrap intervals and permutation tests over test cells.

Errors of check-ups of one cell are correlated, so cells are resampled: resampled rows would give too narrow intervals.

Reference: B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 15 (permutation tests).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_DRAWS = 4000
_ALL_SIGNS_UP_TO = 14  # 2**14 sign patterns are counted one by one, more are sampled


@dataclass(frozen=True)
class Interval:
    """A mean over cells and the interval of its resampled means."""

    mean: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class Gain:
    """Relative improvement of the mean error of one model over another on the same cells.

    Args:
        gain: 1 - mean error / mean error of the other; 0.1 is 10 % better.
        low: lower bound of the gain at the one-sided confidence.
        high: upper bound at the same confidence.
        p_value: probability of such a gain if the two were equal (sign flips of the paired differences).
        n_cells: cells compared.
    """

    gain: float
    low: float
    high: float
    p_value: float
    n_cells: int


def interval_over_cells(errors: npt.ArrayLike, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Return the percentile interval of the mean of per-cell errors, shape (C,); NaN for one cell, rough below ten.

    Example:
        >>> interval_over_cells([1.0, 2.0, 3.0]).mean
        2.0
        >>> interval_over_cells([1.0]).low
        nan
    """
    values = np.asarray(errors, dtype=np.float64)
    mean = float(values.mean())
    if len(values) < 2 or not np.isfinite(values).all():
        return Interval(mean, float("nan"), float("nan"), confidence)
    means = values[_drawn_cells(len(values), seed)].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(mean, float(low), float(high), confidence)


def paired_gain(ours: npt.ArrayLike, theirs: npt.ArrayLike, confidence: float = 0.95, seed: int = 0) -> Gain:
    """Return the gain of one model over another from their errors on the same cells, shape (C,), in the same order.

    The bounds come from a paired bootstrap over cells. Percentile bounds are too narrow for few cells, so the p-value
    comes from a permutation test that is exact for any number of cells: if the models are equal, each paired difference
    has either sign with the same probability. With C cells the p-value is at least 2**-C.

    Example:
        >>> paired_gain([0.9, 1.8, 2.7, 3.6, 4.5], [1.0, 2.0, 3.0, 4.0, 5.0])
        Gain(gain=0.1, low=0.1, high=0.1, p_value=0.03125, n_cells=5)
    """
    ours, theirs = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if ours.shape != theirs.shape or ours.ndim != 1 or len(ours) == 0:
        raise ValueError(f"paired_gain: expected two errors a cell, got shapes {ours.shape} and {theirs.shape}")
    gain: Any = _gain(ours.mean(), theirs.mean())
    drawn = _drawn_cells(len(ours), seed)
    gains = _gain(ours[drawn].mean(axis=1), theirs[drawn].mean(axis=1))
    low, high = np.quantile(gains, [1 - confidence, confidence], method="inverted_cdf")  # no mean of infinities
    p_value = _sign_flip(theirs - ours, seed)
    gain, low, high = (round(float(value), 12) for value in (gain, low, high))  # 0.1, not 0.09999999999999998
    return Gain(gain, low, high, p_value, len(ours))


def _gain(ours: npt.ArrayLike, theirs: npt.ArrayLike) -> Array:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    with np.errstate(divide="ignore", invalid="ignore"):  # two models without error have no gain
        return np.where(theirs > 0, 1 - ours / theirs, np.where(ours > 0, -np.inf, 0.0))


def _drawn_cells(n: int, seed: int) -> npt.NDArray[np.int64]:
    """Return cells drawn with replacement, shape (draws, C)."""
    return np.random.default_rng(seed).integers(0, n, size=(_DRAWS, n))


def _sign_flip(differences: Array, seed: int) -> float:
    """Return the one-sided p-value of the mean of paired differences under random signs."""
    n = len(differences)
    if n <= _ALL_SIGNS_UP_TO:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        means = (1 - 2 * bits) @ differences
        return float((means >= differences.sum() - 1e-12).mean())
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(_DRAWS, n))
    return float((1 + (signs @ differences >= differences.sum() - 1e-12).sum()) / (1 + _DRAWS))
