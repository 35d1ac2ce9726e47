"""Whether the calibration cells happen to be easy or hard ones, asked of a model that is quick to fit.

A dozen calibration cells are a draw: now and then they are the easy ones of their kind, and an interval measured on
them is too narrow for the next cell. How far a model errs on the *training* cells, fitted to the others, can be asked
of kernel ridge regression in seconds; a cell that is hard for one model is often hard for another. So its quantile over
all these cells stands beside its quantile over the calibration cells alone, as in survey sampling a figure that is
known of everybody corrects one that only a sample was asked for.

Reference: W. G. Cochran, Sampling Techniques (1977), chapter 6 (ratio estimators) and chapter 7 (regression estimators:
the looser two figures go together, the less one corrects the other).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.models.kernel_ridge import KernelRidgeModel, spread_over_cells
from battery_core.predictors.pipeline import Pipeline
from battery_core.uncertainty.conformal import Scores, fade_scale

_FOLDS = 5
_ROWS = 10_000  # check-ups that are predicted, the same number of each cell: quantiles are the same, and it is quick
_WEIGHT = 0.5  # exponent: how hard cells are for two models goes together at 0.4 to 0.75 (docs/uncertainty.md)
_MOST = 2.0  # largest ratio that is believed, and one over the smallest


def out_of_fold_scores(kernel: Pipeline, rows: pd.DataFrame) -> pd.DataFrame:
    """Conformal scores of each cell by kernel ridge regression that was fitted to other cells only.

    Length scale and noise stay those that were chosen; nothing is searched for again. Scaling is that of the pipeline.

    Args:
        kernel: a fitted pipeline around a ``KernelRidgeModel``.
        rows: labelled rows of training and validation cells.

    Returns:
        Columns cell_id, checkup_index and score, at most about ten thousand rows, the same number of each cell.
    """
    x = kernel.scaler.transform(kernel.features(rows).to_numpy(dtype=np.float64))
    cells, soh = rows["cell_id"].to_numpy(dtype=str), rows["soh"].to_numpy(dtype=np.float64)
    chosen = {"length_scales": (kernel.model.length_scale,), "alphas": (kernel.model.alpha,)}
    settings = kernel.model.settings.model_dump() | chosen
    asked = np.zeros(len(rows), dtype=bool)
    asked[spread_over_cells(list(cells), _ROWS)] = True
    fold = np.unique(cells, return_inverse=True)[1] % _FOLDS  # names go by group: each fold has cells of all of them
    said = np.full(len(rows), np.nan)
    for number in np.unique(fold):
        out = fold == number
        model = KernelRidgeModel(**settings).fit(x[~out], soh[~out], train_cells=list(cells[~out]))
        said[out & asked] = model.predict(x[out & asked])[:, 0]
    scored = rows.loc[asked, ["cell_id", "checkup_index"]]
    return scored.assign(score=np.abs(soh - said)[asked] / fade_scale(said[asked]))


def correction(
    scores: npt.ArrayLike, cell_ids: npt.ArrayLike, calibration_cells: Collection[str], coverage: float = 0.9
) -> float:
    """What a quantile measured on the calibration cells is to be multiplied by; above 1 where they are easy ones.

    The square root of quantile over all cells / quantile over the calibration cells: half of the logarithm, since what
    is hard for one model is only partly so for another.

    Shape: scores (N,), cell_ids (N,).

    Example:
        >>> correction([1.0, 1.0, 1.44, 1.44], ["A", "B", "C", "D"], ["A", "B"])
        1.2
        >>> correction([1.0, 1.0, 1.0, 1.44], ["A", "B", "C", "D"], ["A", "D"])
        1.0
        >>> correction([1.0, 1.0], ["A", "B"], [])
        1.0
    """
    values, cells = np.asarray(scores, dtype=np.float64), np.asarray(cell_ids).astype(str)
    calibrating = np.isin(cells, list(calibration_cells))
    if not np.isfinite(values).all() or not calibrating.any():
        return 1.0
    whole = Scores.of(values, cells).quantile(coverage)
    part = Scores.of(values[calibrating], cells[calibrating]).quantile(coverage)
    if not (whole > 0 and part > 0):
        return 1.0
    return round(float(np.clip(whole / part, 1 / _MOST, _MOST) ** _WEIGHT), 12)
