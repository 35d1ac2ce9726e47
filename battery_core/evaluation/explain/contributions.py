"""Shapley values: the contribution of each feature to single estimates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.evaluation.explain.shapley import shapley
from battery_core.evaluation.metrics.scores import PERCENTAGE_POINTS
from battery_core.predictors.pipeline import Pipeline

if TYPE_CHECKING:
    from battery_core.models.lgbm import LGBMModel

Array = npt.NDArray[np.float64]
_POOL = 2000  # training check-ups that the background is drawn from


@dataclass(frozen=True)
class FeatureRows:
    """Check-ups with the features that a model reads.

    Args:
        rows: the N check-ups.
        raw: features before scaling, shape (N, F).
        x: features after scaling, shape (N, F).
    """

    rows: pd.DataFrame
    raw: Array
    x: Array

    @classmethod
    def from_rows(cls, pipeline: Pipeline, rows: pd.DataFrame) -> FeatureRows:
        """Return the features of whole histories of cells: history features need the earlier check-ups."""
        raw = pipeline.features(rows).to_numpy(dtype=np.float64)
        return cls(rows, raw, pipeline.feature_pipeline.scaler.transform(raw))

    def take(self, positions: Sequence[int] | npt.NDArray[np.int64]) -> FeatureRows:
        """Return the check-ups at these positions."""
        at = np.asarray(positions, dtype=np.int64)
        return FeatureRows(self.rows.iloc[at], self.raw[at], self.x[at])

    def sample(self, most: int, seed: int) -> FeatureRows:
        """Return at most ``most`` check-ups, drawn without replacement, in their order."""
        drawn = np.random.default_rng(seed).choice(len(self.x), min(most, len(self.x)), replace=False)
        return self.take(np.sort(drawn))


@dataclass(frozen=True)
class Contributions:
    """Shapley values: estimate = base + sum over features, check-up by check-up.

    Args:
        names: the F features.
        base: mean estimate of the background, SOH.
        values: contribution of each feature, SOH points, shape (N, F).
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


def trees_of(pipeline: Pipeline) -> LGBMModel:
    """Return the model of a LightGBM pipeline."""
    return cast("LGBMModel", pipeline.model)


def is_exact(pipeline: Pipeline) -> bool:
    """Return whether Shapley values need no sampling: LightGBM with one target computes them from its trees."""
    return pipeline.model_name == "lgbm" and len(trees_of(pipeline).boosters) == 1


def tree_contributions(pipeline: Pipeline, checkups: FeatureRows) -> Contributions:
    """Return exact SHAP values of LightGBM with one target; a missing feature is averaged over the training rows.

    Reference:
        S. Lundberg et al., Consistent individualized feature attribution for tree ensembles (2018); as LightGBM has it.
    """
    model = trees_of(pipeline)
    (booster,), (trees,) = model.boosters, model.best_iterations
    output = np.asarray(booster.predict(checkups.x, num_iteration=trees, pred_contrib=True), dtype=np.float64)
    base = float(output[0, -1] * pipeline.target_scale + pipeline.target_mean)
    values = output[:, :-1] * pipeline.target_scale * PERCENTAGE_POINTS
    return _contributions(pipeline, checkups, base, values, np.zeros_like(values))


def sampled_contributions(
    pipeline: Pipeline, checkups: FeatureRows, background: FeatureRows, seed: int = 0
) -> Contributions:
    """Return Shapley values of any model of feature vectors; a missing feature has the value of a training check-up.

    Scaling acts on each feature alone, so that contributions of scaled and of measured values are the same.

    Args:
        pipeline: of a model that reads one row of features a check-up.
        checkups: the check-ups to explain.
        background: training check-ups, see ``draw_background``.
        seed: of the orders in which features are put in.
    """
    values, errors = shapley(lambda x: estimate_soh(pipeline, x), checkups.x, background.x, seed)
    base = float(estimate_soh(pipeline, background.x).mean())
    return _contributions(pipeline, checkups, base, values * PERCENTAGE_POINTS, errors * PERCENTAGE_POINTS)


def draw_background(pipeline: Pipeline, train: FeatureRows, size: int, seed: int = 0) -> FeatureRows:
    """Return training check-ups as background: one drawn from each of ``size`` equal groups, ordered by estimate.

    A small background then has the mean estimate of all check-ups, and the same share of aged ones.
    """
    pool = train.sample(_POOL, seed)
    groups = np.array_split(np.argsort(estimate_soh(pipeline, pool.x), kind="stable"), min(size, len(pool.x)))
    generator = np.random.default_rng(seed)
    return pool.take(np.array([generator.choice(group) for group in groups]))


def _contributions(
    pipeline: Pipeline, checkups: FeatureRows, base: float, values: Array, errors: Array
) -> Contributions:
    rows = checkups.rows.assign(prediction=estimate_soh(pipeline, checkups.x))
    return Contributions(pipeline.feature_names, base, values, errors, checkups.raw, rows)


def estimate_soh(pipeline: Pipeline, x: Array) -> Array:
    """Return the SOH, shape (N,), of scaled features, shape (N, F)."""
    return pipeline.predict_scaled(x)
