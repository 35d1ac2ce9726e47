"""Each feature's weight in a model over many check-ups."""

from __future__ import annotations

import numpy as np

from battery_core.evaluation.explain.contributions import Array, FeatureRows, estimates
from battery_core.evaluation.metrics.scores import PERCENTAGE_POINTS
from battery_core.predictors.pipeline import Pipeline

_MOST_ROWS = 600


def gain(pipeline: Pipeline) -> dict[str, float]:
    """Share of LightGBM's loss that splits on each feature took away, in %."""
    found = sum(booster.feature_importance("gain") for booster in pipeline.model.boosters)
    total = float(np.sum(found)) or 1.0
    return {
        name: 100.0 * float(value) / total
        for name, value in zip(pipeline.feature_names, np.asarray(found), strict=True)
    }


def permutation(pipeline: Pipeline, told: FeatureRows, seed: int = 0) -> dict[str, float]:
    """How much the mean absolute error grows, in SOH points, when check-ups swap their values of one feature.

    Features that say the same share their weight: without one of them the model still has the others.

    Args:
        pipeline: of a model that reads one row of features a check-up.
        told: labelled check-ups; a sample of them is used.
        seed: of the sample and the swaps.

    Reference:
        L. Breiman, Random Forests (2001), section 10.
    """
    some, generator = told.sample(_MOST_ROWS, seed), np.random.default_rng(seed)
    measured = some.rows["soh"].to_numpy(dtype=np.float64)

    def error(given: Array) -> float:
        return float(np.abs(estimates(pipeline, given) - measured).mean() * PERCENTAGE_POINTS)

    intact, grown = error(some.x), {}
    for i, name in enumerate(pipeline.feature_names):
        swapped = some.x.copy()
        swapped[:, i] = generator.permutation(some.x[:, i])
        grown[name] = error(swapped) - intact
    return grown
