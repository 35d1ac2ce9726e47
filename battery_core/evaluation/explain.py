"""What a model's estimates rest on: each feature's weight over many check-ups, and its part in a single estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.evaluation.report import PERCENTAGE_POINTS
from battery_core.models.pipeline import Pipeline

Array = npt.NDArray[np.float64]
_MOST_ROWS = 600


@dataclass(frozen=True)
class Contributions:
    """SHAP values: estimate = base + sum over features, check-up by check-up.

    Args:
        names: the F features.
        base: mean estimate of the trees, SOH.
        values: what each feature adds, SOH points, shape (N, F).
        features: values of the features before scaling, shape (N, F).
        rows: the N check-ups.
    """

    names: tuple[str, ...]
    base: float
    values: Array
    features: Array
    rows: pd.DataFrame


def gain(pipeline: Pipeline) -> dict[str, float]:
    """Share of LightGBM's loss that splits on each feature took away, in %."""
    found = sum(booster.feature_importance("gain") for booster in pipeline.model.boosters)
    total = float(np.sum(found)) or 1.0
    return {
        name: 100.0 * float(value) / total
        for name, value in zip(pipeline.feature_names, np.asarray(found), strict=True)
    }


def permutation(pipeline: Pipeline, rows: pd.DataFrame, seed: int = 0) -> dict[str, float]:
    """How much the mean absolute error grows, in SOH points, when check-ups swap their values of one feature.

    Features that say the same share their weight: without one of them the model still has the others.

    Args:
        pipeline: of a model that reads one row of features a check-up.
        rows: labelled check-ups, whole histories of their cells; a sample of them is used.
        seed: of the sample and the swaps.

    Reference:
        L. Breiman, Random Forests (2001), section 10.
    """
    generator = np.random.default_rng(seed)
    chosen, x = _sample(pipeline, rows, generator)
    measured = chosen["soh"].to_numpy(dtype=np.float64)

    def error(given: Array) -> float:
        return float(np.abs(_soh(pipeline, given) - measured).mean() * PERCENTAGE_POINTS)

    intact, grown = error(x), {}
    for i, name in enumerate(pipeline.feature_names):
        swapped = x.copy()
        swapped[:, i] = generator.permutation(x[:, i])
        grown[name] = error(swapped) - intact
    return grown


def contributions(pipeline: Pipeline, rows: pd.DataFrame, always: str, seed: int = 0) -> Contributions:
    """SHAP values of LightGBM's trees, which are exact, for a sample of check-ups and all of one cell.

    Args:
        pipeline: of LightGBM with one target.
        rows: labelled check-ups, whole histories of their cells.
        always: the cell all of whose check-ups are in the sample.
        seed: of the sample.

    Reference:
        S. Lundberg et al., Consistent individualized feature attribution for tree ensembles (2018); as LightGBM has it.
    """
    chosen, x = _sample(pipeline, rows, np.random.default_rng(seed), always)
    (booster,), (trees,) = pipeline.model.boosters, pipeline.model.best_iterations
    found = np.asarray(booster.predict(x, num_iteration=trees, pred_contrib=True), dtype=np.float64)
    base = float(found[0, -1] * pipeline.target_scale + pipeline.target_mean)
    values = found[:, :-1] * pipeline.target_scale * PERCENTAGE_POINTS
    raw = pipeline.features(rows).loc[chosen.index].to_numpy(dtype=np.float64)
    chosen = chosen.assign(prediction=_soh(pipeline, x))
    return Contributions(pipeline.feature_names, base, values, raw, chosen)


def _sample(
    pipeline: Pipeline, rows: pd.DataFrame, generator: Any, always: str | None = None
) -> tuple[pd.DataFrame, Array]:
    """Some check-ups and what the model is given of them; features are built with all of each cell's history."""
    keep = rows.index[rows["cell_id"] == always]
    others = rows.index[rows["cell_id"] != always]
    some = generator.choice(others, min(_MOST_ROWS, len(others)), replace=False)
    index = np.sort(np.concatenate([keep, some]))
    features = pipeline.features(rows).loc[index].to_numpy(dtype=np.float64)
    return rows.loc[index], pipeline.scaler.transform(features)


def _soh(pipeline: Pipeline, x: Array) -> Array:
    output = np.asarray(pipeline.model.predict(x), dtype=np.float64).reshape(len(x))
    return output * pipeline.target_scale + pipeline.target_mean
