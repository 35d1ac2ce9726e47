"""Weights of models in their mean: from errors on validation cells, and checked on cells left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from battery_core.cell_errors import cell_mape, mean_over_cells

_LEAST_ERROR = 1e-7  # %: a model without any error does not get all the weight
_MOST_FOLDS = 20  # more cells than these are left out several at a time


def weights_by_error(
    soh: npt.ArrayLike,
    cell_ids: Sequence[str] | npt.NDArray[np.str_] | npt.NDArray[np.int64],
    predictions: Mapping[str, npt.ArrayLike],
    min_weight: float = 0.0,
) -> dict[str, float]:
    """Return the weight of each model in their mean: one over its squared error on these cells, scaled to sum 1.

    The error is the mean per-cell MAPE. This is the optimal mean where errors of different models are independent. They
    are not; but weights from their covariance, or from a search, fit a handful of cells and change with every seed. A
    model whose predictions are not all finite has no weight.

    Shape: soh (N,), predictions (N,) each.

    Args:
        soh: measured.
        cell_ids: the cell of each check-up.
        predictions: of each model.
        min_weight: a model with a smaller weight is left out.

    Reference:
        J. M. Bates, C. W. J. Granger, The combination of forecasts (1969), equation 1 without correlation.

    Example:
        >>> weights_by_error([1.0, 0.5], ["A", "B"], {"near": [1.1, 0.55], "far": [0.7, 0.35], "none": [1.0, np.nan]})
        {'near': 0.9, 'far': 0.1}
    """
    _, cell = np.unique(np.asarray(cell_ids), return_inverse=True)
    errors = {name: mean_over_cells(cell_mape(cell, soh, predicted)) for name, predicted in predictions.items()}
    weights = {name: max(error, _LEAST_ERROR) ** -2 for name, error in errors.items() if np.isfinite(error)}
    return _normalized(_normalized(weights, 0.0), min_weight)


def leave_cell_out_mean(
    soh: npt.ArrayLike, cell_ids: Sequence[str], predictions: Mapping[str, npt.ArrayLike], min_weight: float = 0.0
) -> npt.NDArray[np.float64]:
    """Return the weighted mean for each cell, with weights from the other cells only, shape (N,).

    The mean errs less on cells that its weights were fitted to than on a new cell: an interval measured there would be
    too narrow. A single cell has weights from itself.

    Shape: soh (N,), predictions (N,) each.

    Example:
        >>> predictions = {"high": [1.1, 0.7], "right": [1.0, 0.7]}
        >>> leave_cell_out_mean([1.0, 0.7], ["A", "B"], predictions).tolist()
        [1.05, 0.7]
    """
    truth = np.asarray(soh, dtype=np.float64)
    names, cell = np.unique(np.asarray(cell_ids), return_inverse=True)
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in predictions.items()}
    fold = cell % _MOST_FOLDS
    mean = np.full(len(truth), np.nan)
    for number in np.unique(fold):
        is_out = fold == number
        is_fitted = ~is_out if len(names) > 1 else is_out
        of_fitted = {name: values[is_fitted] for name, values in arrays.items()}
        weights = weights_by_error(truth[is_fitted], cell[is_fitted], of_fitted, min_weight)
        if weights:
            mean[is_out] = sum(weight * arrays[name][is_out] for name, weight in weights.items())
    return mean


def _normalized(weights: Mapping[str, float], least: float) -> dict[str, float]:
    """Return weights of at least this much (the largest in any case), scaled to sum 1."""
    large = {name: weight for name, weight in weights.items() if weight >= min(least, max(weights.values()))}
    total = sum(large.values())
    return {name: round(weight / total, 12) for name, weight in large.items()}
