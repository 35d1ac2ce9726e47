"""Percentage error of SOH and its mean over a cell, from arrays: the only code that computes them.

The rule for values that are not finite is stated here once. A cell with one such value has the error NaN, the mean
over cells is then NaN, and NaN is the worst error wherever errors are compared or sorted (``as_worst``).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def relative_errors(soh: npt.ArrayLike, prediction: npt.ArrayLike) -> Array:
    """Return the absolute error of each prediction as a fraction of the measured value.

    A measured value of 0 has no relative error: the result is infinite or NaN.

    Shape: ``soh`` and ``prediction`` the same, any; so is the result.

    Example:
        >>> relative_errors([1.0, 0.5], [1.0, 0.6]).round(6).tolist()
        [0.0, 0.2]
    """
    measured = np.asarray(soh, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors: Array = np.abs((np.asarray(prediction, dtype=np.float64) - measured) / measured)
    return errors


def means_by_cell(codes: npt.NDArray[np.integer], values: npt.ArrayLike) -> Array:
    """Return the mean of each cell's values, NaN for a cell with a value that is not finite.

    Shape: ``codes`` (N,), numbers 0 to C - 1 that name the cell of each row; ``values`` (N,); the result (C,).

    Example:
        >>> means_by_cell(np.array([0, 1, 0, 1]), [1.0, 5.0, 2.0, np.inf]).tolist()
        [1.5, nan]
    """
    with np.errstate(invalid="ignore"):
        means: Array = np.bincount(codes, weights=np.asarray(values, dtype=np.float64)) / np.bincount(codes)
    return np.where(np.isfinite(means), means, np.nan)


def cell_mape(codes: npt.NDArray[np.integer], soh: npt.ArrayLike, prediction: npt.ArrayLike) -> Array:
    """Return the mean absolute percentage error of each cell, %.

    Shape: ``codes`` as in ``means_by_cell``; ``soh`` and ``prediction`` (N,), or (N, D) for a mean over D targets; the
    result (C,).

    Example:
        >>> cell_mape(np.array([0, 0, 1]), [1.0, 0.8, 0.5], [0.99, 0.81, np.nan]).round(3).tolist()
        [1.125, nan]
    """
    errors = relative_errors(soh, prediction)
    return 100 * means_by_cell(codes, errors if errors.ndim == 1 else errors.mean(axis=1))


def mean_over_cells(errors: npt.ArrayLike) -> float:
    """Return the mean of one error a cell; NaN if one of them is NaN, or if there is no cell.

    Example:
        >>> mean_over_cells([1.0, 2.0]), mean_over_cells([1.0, np.nan]), mean_over_cells([])
        (1.5, nan, nan)
    """
    values = np.asarray(errors, dtype=np.float64)
    return float(values.mean()) if len(values) else math.nan


def as_worst(error: float | None) -> float:
    """Return an error to compare or sort by: NaN, which is None in JSON, is worse than any number.

    Example:
        >>> as_worst(0.5), as_worst(None), as_worst(float("nan"))
        (0.5, inf, inf)
    """
    return math.inf if error is None or math.isnan(error) else float(error)
