"""How much each model counts in the mean of several: told by validation cells, judged on cells that had no say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from battery_core.cell_errors import cell_mape, mean_over_cells

_FLAWLESS = 1e-7  # %: what says every label by heart does not take all
_MOST_FOLDS = 20  # more cells than these are left out several at a time


def weights_by_error(
    soh: npt.ArrayLike,
    cell_ids: Sequence[str] | npt.NDArray[Any],
    predictions: Mapping[str, npt.ArrayLike],
    min_weight: float = 0.0,
) -> dict[str, float]:
    """Share of each model in their mean, one over the square of its error (mean per-cell MAPE) on these cells; sum 1.

    That is the best mean there is where errors of different models are independent. They are not; but shares that
    know how errors go together, or that are searched for the least error, are fitted to a handful of cells, and change
    with every seed. A model whose predictions are not all finite counts nothing.

    Shape: soh (N,), predictions (N,) each.

    Args:
        soh: measured.
        cell_ids: the cell of each check-up.
        predictions: what each model says.
        min_weight: a model that would count for less is left out.

    Reference:
        J. M. Bates, C. W. J. Granger, The combination of forecasts (1969), equation 1 without correlation.

    Example:
        >>> weights_by_error([1.0, 0.5], ["A", "B"], {"near": [1.1, 0.55], "far": [0.7, 0.35], "none": [1.0, np.nan]})
        {'near': 0.9, 'far': 0.1}
    """
    _, cell = np.unique(np.asarray(cell_ids), return_inverse=True)
    errors = {name: mean_over_cells(cell_mape(cell, soh, given)) for name, given in predictions.items()}
    weights = {name: max(error, _FLAWLESS) ** -2 for name, error in errors.items() if np.isfinite(error)}
    return _to_one(_to_one(weights, 0.0), min_weight)


def leave_cell_out_mean(
    soh: npt.ArrayLike, cell_ids: Sequence[str], predictions: Mapping[str, npt.ArrayLike], min_weight: float = 0.0
) -> npt.NDArray[np.float64]:
    """What the mean says of each cell when only the other cells tell the shares, shape (N,).

    A mean errs less on the cells that told its shares than on a new one: an interval measured there would be too
    narrow. The only cell there is has to tell its own.

    Shape: soh (N,), predictions (N,) each.

    Example:
        >>> says = {"high": [1.1, 0.7], "right": [1.0, 0.7]}
        >>> leave_cell_out_mean([1.0, 0.7], ["A", "B"], says).tolist()
        [1.05, 0.7]
    """
    truth = np.asarray(soh, dtype=np.float64)
    names, cell = np.unique(np.asarray(cell_ids), return_inverse=True)
    given = {name: np.asarray(values, dtype=np.float64) for name, values in predictions.items()}
    fold = cell % _MOST_FOLDS
    mixed = np.full(len(truth), np.nan)
    for number in np.unique(fold):
        out = fold == number
        telling = ~out if len(names) > 1 else out
        shares = weights_by_error(truth[telling], cell[telling], {n: v[telling] for n, v in given.items()}, min_weight)
        if shares:
            mixed[out] = sum(share * given[name][out] for name, share in shares.items())
    return mixed


def _to_one(weights: Mapping[str, float], least: float) -> dict[str, float]:
    """Weights of at least this much (the largest in any case), scaled so that they sum to 1."""
    kept = {name: weight for name, weight in weights.items() if weight >= min(least, max(weights.values()))}
    total = sum(kept.values())
    return {name: round(weight / total, 12) for name, weight in kept.items()}
