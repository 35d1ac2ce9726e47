"""How single estimates came about: each feature's part in them, as Shapley values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.evaluation.explain.shapley import shapley
from battery_core.evaluation.metrics.scores import PERCENTAGE_POINTS
from battery_core.predictors.pipeline import Pipeline

Array = npt.NDArray[np.float64]
_POOL = 2000  # training check-ups that the background is drawn from


@dataclass(frozen=True)
class FeatureRows:
    """Check-ups and what a model is told of them.

    Args:
        rows: the N check-ups.
        raw: features before scaling, shape (N, F).
        x: features as the model has them, shape (N, F).
    """

    rows: pd.DataFrame
    raw: Array
    x: Array

    @classmethod
    def of(cls, pipeline: Pipeline, rows: pd.DataFrame) -> FeatureRows:
        """Features of whole histories of cells: a check-up's may rest on earlier ones."""
        raw = pipeline.features(rows).to_numpy(dtype=np.float64)
        return cls(rows, raw, pipeline.scaler.transform(raw))

    def take(self, which: Any) -> FeatureRows:
        """Some of the check-ups, by position."""
        return FeatureRows(self.rows.iloc[which], self.raw[which], self.x[which])

    def sample(self, most: int, seed: int) -> FeatureRows:
        """At most so many check-ups, drawn without replacement, in their order."""
        drawn = np.random.default_rng(seed).choice(len(self.x), min(most, len(self.x)), replace=False)
        return self.take(np.sort(drawn))


@dataclass(frozen=True)
class Contributions:
    """Shapley values: estimate = base + sum over features, check-up by check-up.

    Args:
        names: the F features.
        base: mean estimate that the parts start from, SOH.
        values: what each feature adds, SOH points, shape (N, F).
        errors: standard error of each value, SOH points, shape (N, F); 0 where they are exact.
        features: values of the features before scaling, shape (N, F).
        rows: the N check-ups, with their ``prediction``.
    """

    names: tuple[str, ...]
    base: float
    values: Array
    errors: Array
    features: Array
    rows: pd.DataFrame


def is_exact(pipeline: Pipeline) -> bool:
    """Whether Shapley values need no sampling: LightGBM with one target has them from its trees."""
    return pipeline.model_name == "lgbm" and len(pipeline.model.boosters) == 1


def of_trees(pipeline: Pipeline, told: FeatureRows) -> Contributions:
    """Exact SHAP values of LightGBM with one target; a feature is left out by the trees' own counts of training rows.

    Reference:
        S. Lundberg et al., Consistent individualized feature attribution for tree ensembles (2018); as LightGBM has it.
    """
    (booster,), (trees,) = pipeline.model.boosters, pipeline.model.best_iterations
    found = np.asarray(booster.predict(told.x, num_iteration=trees, pred_contrib=True), dtype=np.float64)
    base = float(found[0, -1] * pipeline.target_scale + pipeline.target_mean)
    values = found[:, :-1] * pipeline.target_scale * PERCENTAGE_POINTS
    return _contributions(pipeline, told, base, values, np.zeros_like(values))


def sampled(pipeline: Pipeline, told: FeatureRows, background: FeatureRows, seed: int = 0) -> Contributions:
    """Shapley values of any model of feature vectors; a feature is left out by taking a training check-up's value.

    Scaling is feature by feature, so that a walk through scaled values is one through the measured ones.

    Args:
        pipeline: of a model that reads one row of features a check-up.
        told: the check-ups to explain.
        background: training check-ups, see ``background_of``.
        seed: of the orders in which features are put in.
    """
    values, errors = shapley(lambda x: estimates(pipeline, x), told.x, background.x, seed)
    base = float(estimates(pipeline, background.x).mean())
    return _contributions(pipeline, told, base, values * PERCENTAGE_POINTS, errors * PERCENTAGE_POINTS)


def background_of(pipeline: Pipeline, train: FeatureRows, size: int, seed: int = 0) -> FeatureRows:
    """Training check-ups that stand for not knowing: drawn one from each of ``size`` equal parts, ordered by estimate.

    So few check-ups have the mean estimate of all, and aged ones are among them as often as among all.
    """
    pool = train.sample(_POOL, seed)
    parts = np.array_split(np.argsort(estimates(pipeline, pool.x), kind="stable"), min(size, len(pool.x)))
    generator = np.random.default_rng(seed)
    return pool.take(np.array([generator.choice(part) for part in parts]))


def _contributions(pipeline: Pipeline, told: FeatureRows, base: float, values: Array, errors: Array) -> Contributions:
    rows = told.rows.assign(prediction=estimates(pipeline, told.x))
    return Contributions(pipeline.feature_names, base, values, errors, told.raw, rows)


def estimates(pipeline: Pipeline, x: Array) -> Array:
    """SOH, shape (N,), of scaled features, shape (N, F)."""
    output = np.asarray(pipeline.model.predict(x), dtype=np.float64).reshape(len(x))
    return output * pipeline.target_scale + pipeline.target_mean
