"""Importance of each feature in a model over many check-ups."""

from __future__ import annotations

import numpy as np

from battery_core.evaluation.explain.contributions import Array, FeatureRows, estimate_soh, trees_of
from battery_core.evaluation.metrics.scores import PERCENTAGE_POINTS
from battery_core.predictors.pipeline import Pipeline

_MAX_ROWS = 600


def gain_importance(pipeline: Pipeline) -> dict[str, float]:
    """Return the share of each feature in the loss reduction of LightGBM's splits, %."""
    gains = sum(booster.feature_importance("gain") for booster in trees_of(pipeline).boosters)
    total = float(np.sum(gains)) or 1.0
    return {
        name: 100.0 * float(value) / total
        for name, value in zip(pipeline.feature_names, np.asarray(gains), strict=True)
    }


def permutation_importance(pipeline: Pipeline, checkups: FeatureRows, seed: int = 0) -> dict[str, float]:
    """Return the increase of the mean absolute error, SOH points, when the values of one feature are permuted.

    Correlated features share their importance: without one of them the model still has the others.

    Args:
        pipeline: of a model that reads one row of features a check-up.
        checkups: labelled; a sample of them is used.
        seed: of the sample and the permutations.

    Reference:
        L. Breiman, Random Forests (2001), section 10.
    """
    sample, generator = checkups.sample(_MAX_ROWS, seed), np.random.default_rng(seed)
    measured = sample.rows["soh"].to_numpy(dtype=np.float64)

    def error(x: Array) -> float:
        return float(np.abs(estimate_soh(pipeline, x) - measured).mean() * PERCENTAGE_POINTS)

    reference, increases = error(sample.x), {}
    for i, name in enumerate(pipeline.feature_names):
        permuted = sample.x.copy()
        permuted[:, i] = generator.permutation(sample.x[:, i])
        increases[name] = error(permuted) - reference
    return increases
