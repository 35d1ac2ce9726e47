"""Correct interval widths for calibration cells that are easier or harder to predict than other cells.

A dozen calibration cells are a small sample: sometimes they are easy cells, and an interval measured on them is too
narrow for the next cell. The error on *training* cells, by a model fitted to other cells, says how hard the calibration
cells are among all. Kernel ridge regression can be fitted anew in seconds, and a cell that is hard for one model is
often hard for another. So the quantile of its errors over all cells, relative to that over the calibration cells,
corrects the width; survey sampling corrects a sample figure by an auxiliary figure of the whole population alike.

Reference: W. G. Cochran, Sampling Techniques (1977), chapter 6 (ratio estimators) and chapter 7 (regression estimators:
the weaker the correlation of two figures, the less one corrects the other).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.models.kernel_ridge import KernelRidgeModel, spread_over_cells
from battery_core.predictors.pipeline import Pipeline
from battery_core.uncertainty.conformal import Scores, fade_scale

_FOLDS = 5
_ROWS = 10_000  # check-ups that are predicted, the same number of each cell: quantiles are the same, and it is quick
_EXPONENT = 0.5  # the difficulty of cells for two models correlates with 0.4 to 0.75 (docs/uncertainty.md)
_LIMIT = 2.0  # largest ratio of quantiles, and the inverse of the smallest


def out_of_fold_scores(kernel_ridge: Pipeline, rows: pd.DataFrame) -> pd.DataFrame:
    """Return conformal scores of each cell by kernel ridge regression that was fitted to other cells only.

    Length scale and alpha stay those that were chosen; nothing is searched for again. Scaling is that of the pipeline.

    Args:
        kernel_ridge: a fitted pipeline around a ``KernelRidgeModel``.
        rows: labelled rows of training and validation cells.

    Returns:
        Columns cell_id, checkup_index and score, at most about ten thousand rows, the same number of each cell.
    """
    fitted = cast(KernelRidgeModel, kernel_ridge.model)
    x = kernel_ridge.feature_pipeline.transform(rows)
    cells, soh = rows["cell_id"].to_numpy(dtype=str), rows["soh"].to_numpy(dtype=np.float64)
    chosen = {"length_scales": (fitted.length_scale,), "alphas": (fitted.alpha,)}
    settings = fitted.settings.model_dump() | chosen
    is_scored = np.zeros(len(rows), dtype=bool)
    is_scored[spread_over_cells(list(cells), _ROWS)] = True
    fold = np.unique(cells, return_inverse=True)[1] % _FOLDS  # sorted names go by group: each fold has all groups
    predictions = np.full(len(rows), np.nan)
    for number in np.unique(fold):
        is_out = fold == number
        model = KernelRidgeModel(**settings).fit(x[~is_out], soh[~is_out], train_cells=list(cells[~is_out]))
        predictions[is_out & is_scored] = model.predict(x[is_out & is_scored])[:, 0]
    scored = rows.loc[is_scored, ["cell_id", "checkup_index"]]
    return scored.assign(score=np.abs(soh - predictions)[is_scored] / fade_scale(predictions[is_scored]))


def calibration_correction(
    scores: npt.ArrayLike, cell_ids: npt.ArrayLike, calibration_cells: Collection[str], coverage: float = 0.9
) -> float:
    """Return the factor for a quantile measured on the calibration cells; above 1 where they are easy ones.

    It is the square root of quantile over all cells / quantile over the calibration cells: half of the logarithm,
    since cells that are hard for one model are only partly so for another.

    Shape: scores (N,), cell_ids (N,).

    Example:
        >>> calibration_correction([1.0, 1.0, 1.44, 1.44], ["A", "B", "C", "D"], ["A", "B"])
        1.2
        >>> calibration_correction([1.0, 1.0, 1.0, 1.44], ["A", "B", "C", "D"], ["A", "D"])
        1.0
        >>> calibration_correction([1.0, 1.0], ["A", "B"], [])
        1.0
    """
    values, cells = np.asarray(scores, dtype=np.float64), np.asarray(cell_ids).astype(str)
    is_calibration = np.isin(cells, list(calibration_cells))
    if not np.isfinite(values).all() or not is_calibration.any():
        return 1.0
    of_all = Scores.of(values, cells).quantile(coverage)
    of_calibration = Scores.of(values[is_calibration], cells[is_calibration]).quantile(coverage)
    if not (of_all > 0 and of_calibration > 0):
        return 1.0
    return round(float(np.clip(of_all / of_calibration, 1 / _LIMIT, _LIMIT) ** _EXPONENT), 12)
