"""Running means of a cell's check-ups, for many cells at once.

The results are those of pandas, to rounding. Many cells with complete measurements are computed together, check-up
by check-up: one step for all cells costs about as much as the overhead of pandas for one cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]
Cells = npt.NDArray[np.int64]
_LEAST_CELLS = 16  # mean number of cells in a step from which this is faster than pandas


def smoothed(values: Array, cell: Cells, span: int) -> Array:
    """Return the exponentially weighted mean of a cell's rows up to each row; weights fall by 1 - 2 / (span + 1) a row.

    Args:
        values: shape (N, F); NaN is a missing value and leaves the mean as it was.
        cell: number of each row's cell, shape (N,); the rows of a cell are contiguous and in order.
        span: span of the mean in check-ups.

    Example:
        >>> smoothed(np.array([[1.0], [2.0], [9.0]]), np.array([0, 0, 1]), 1).ravel().tolist()
        [1.0, 2.0, 9.0]
    """
    if not _is_faster(values, cell):
        result: Array = _by_frame(values, cell).ewm(span=span).mean().to_numpy()
        return result
    decay, weight = 1.0 - 1.0 / (1.0 + (span - 1) / 2.0), 0.0
    before, result = np.zeros((len(_starts(cell)), values.shape[1])), np.empty_like(values)
    for at in _steps(cell):
        now, before = values[at], before[: len(at)]
        mean = before * weight
        mean += now
        mean /= weight + 1.0
        np.copyto(mean, now, where=before == now)  # a constant stays exactly constant
        result[at] = before = mean
        weight = (weight + 1.0) * decay
    return result


def running_mean(values: Array, cell: Cells) -> Array:
    """Return the mean of a cell's rows from its first to each row; arguments as for ``smoothed``.

    Reference:
        W. Kahan, Further remarks on reducing truncation errors (1965): compensated summation.

    Example:
        >>> running_mean(np.array([[1.0], [2.0], [9.0]]), np.array([0, 0, 1])).ravel().tolist()
        [1.0, 1.5, 9.0]
    """
    if not _is_faster(values, cell):
        result: Array = _by_frame(values, cell).expanding().mean().to_numpy()
        return result
    first, result = values[_starts(cell)], np.empty_like(values)
    n_rows = np.diff(np.r_[_starts(cell), len(cell)])
    total, lost, still = np.zeros_like(first), np.zeros_like(first), np.ones(first.shape, dtype=bool)
    first = first[np.argsort(-n_rows, kind="stable")]
    for n, at in enumerate(_steps(cell), start=1):
        now, before = values[at], total[: len(at)]
        more = now - lost[: len(at)]
        total = before + more
        lost = (total - before) - more
        mean = total / n
        still = still[: len(at)] & (now == first[: len(at)])
        np.copyto(mean, now, where=still)  # a constant stays exactly constant
        result[at] = mean
    return result


def first_rows(cell: Cells) -> npt.NDArray[np.int64]:
    """Return the position of the first row of each row's cell.

    Example:
        >>> first_rows(np.array([0, 0, 1])).tolist()
        [0, 0, 2]
    """
    starts = _starts(cell)
    return np.repeat(starts, np.diff(np.r_[starts, len(cell)]))


def _is_faster(values: Array, cell: Cells) -> bool:
    """Return whether to step through all cells at once: no value is missing, and cells are many and of like length."""
    lengths = np.diff(np.r_[_starts(cell), len(cell)])
    return len(cell) >= _LEAST_CELLS * lengths.max(initial=1) and bool(np.isfinite(values).all())


def _steps(cell: Cells) -> Iterator[npt.NDArray[np.int64]]:
    """Yield positions of the first row of every cell, then of every second row, and so on; longest cells first."""
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
