"""Means of a cell's check-ups up to each of them, for many cells at once.

What pandas gives, to rounding. Where many cells have complete measurements they walk side by side, check-up after
check-up: one step for all cells costs about as much as pandas takes for the bookkeeping of one cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]
Cells = npt.NDArray[np.int64]
_SIDE_BY_SIDE = 16  # mean number of cells in a step from which walking pays


def smoothed(values: Array, cell: Cells, span: int) -> Array:
    """Exponentially weighted mean of a cell's rows up to each row; weights fall by 1 - 2 / (span + 1) a row.

    Args:
        values: shape (N, F); NaN is not measured and leaves the mean as it was.
        cell: number of each row's cell, shape (N,); the rows of a cell stand together, in their order.
        span: how many check-ups the mean looks back, about.

    Example:
        >>> smoothed(np.array([[1.0], [2.0], [9.0]]), np.array([0, 0, 1]), 1).ravel().tolist()
        [1.0, 2.0, 9.0]
    """
    if not _pays(values, cell):
        result: Array = _by_frame(values, cell).ewm(span=span).mean().to_numpy()
        return result
    decay, weight = 1.0 - 1.0 / (1.0 + (span - 1) / 2.0), 0.0
    before, result = np.zeros((len(_starts(cell)), values.shape[1])), np.empty_like(values)
    for at in _side_by_side(cell):
        now, before = values[at], before[: len(at)]
        mean = before * weight
        mean += now
        mean /= weight + 1.0
        np.copyto(mean, now, where=before == now)  # what stands still stays exactly where it is
        result[at] = before = mean
        weight = (weight + 1.0) * decay
    return result


def running_mean(values: Array, cell: Cells) -> Array:
    """Mean of a cell's rows from its first to each row; arguments as for ``smoothed``.

    Reference:
        W. Kahan, Further remarks on reducing truncation errors (1965): the sum keeps what rounding took.

    Example:
        >>> running_mean(np.array([[1.0], [2.0], [9.0]]), np.array([0, 0, 1])).ravel().tolist()
        [1.0, 1.5, 9.0]
    """
    if not _pays(values, cell):
        result: Array = _by_frame(values, cell).expanding().mean().to_numpy()
        return result
    first, result = values[_starts(cell)], np.empty_like(values)
    n_rows = np.diff(np.r_[_starts(cell), len(cell)])
    total, lost, still = np.zeros_like(first), np.zeros_like(first), np.ones(first.shape, dtype=bool)
    first = first[np.argsort(-n_rows, kind="stable")]
    for n, at in enumerate(_side_by_side(cell), start=1):
        now, before = values[at], total[: len(at)]
        more = now - lost[: len(at)]
        total = before + more
        lost = (total - before) - more
        mean = total / n
        still = still[: len(at)] & (now == first[: len(at)])
        np.copyto(mean, now, where=still)  # what stands still stays exactly where it is
        result[at] = mean
    return result


def first_rows(cell: Cells) -> npt.NDArray[np.int64]:
    """Position of the first row of each row's cell.

    Example:
        >>> first_rows(np.array([0, 0, 1])).tolist()
        [0, 0, 2]
    """
    starts = _starts(cell)
    return np.repeat(starts, np.diff(np.r_[starts, len(cell)]))


def _pays(values: Array, cell: Cells) -> bool:
    """Whether cells walk side by side: all is measured, and there are many for the length of the longest."""
    lengths = np.diff(np.r_[_starts(cell), len(cell)])
    return len(cell) >= _SIDE_BY_SIDE * lengths.max(initial=1) and bool(np.isfinite(values).all())


def _side_by_side(cell: Cells) -> Iterator[npt.NDArray[np.int64]]:
    """Positions of the first row of every cell, then of every second row, and so on; the longest cells first."""
    starts = _starts(cell)
    lengths = np.diff(np.r_[starts, len(cell)])
    longest_first = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[longest_first], lengths[longest_first]
    for step in range(lengths[0]):
        yield starts[: np.searchsorted(-lengths, -step)] + step


def _starts(cell: Cells) -> npt.NDArray[np.int64]:
    return np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]])


def _by_frame(values: Array, cell: Cells) -> Any:
    return pd.DataFrame(values, copy=False).groupby(cell, sort=False)
