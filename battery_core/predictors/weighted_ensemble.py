"""Several fitted models as one: their mean, weighted by their errors on validation cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.predictors.base import SohPredictor, reading
from battery_core.predictors.pipeline import Pipeline
from battery_core.uncertainty.conformal import Conformal
from battery_core.uncertainty.training_domain import TrainingDomain

ENSEMBLE_FILE = "blend.json"
NAME = "ensemble"


@dataclass(frozen=True)
class WeightedEnsemble(SohPredictor):
    """The weighted mean of fitted pipelines; its members are the single models.

    Args:
        pipelines: the K single models.
        weights: weight of each; they sum to 1.
        metadata: what a reader of the model needs: source, data version, cells, SOH reference.
        conformal: width of its intervals, calibrated on validation cells; None before that.
        training_domain: the measured values of the training cells; None before they are measured.
    """

    pipelines: tuple[Pipeline, ...]
    weights: tuple[float, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    conformal: Conformal | None = None
    training_domain: TrainingDomain | None = None
    model_name: str = NAME

    @property
    def raw_columns(self) -> tuple[str, ...]:
        """Measured columns that some pipeline reads."""
        return tuple(dict.fromkeys(column for pipeline in self.pipelines for column in pipeline.raw_columns))

    @property
    def weighted_pipelines(self) -> tuple[tuple[float, Pipeline], ...]:
        """The single models, each with its weight."""
        return tuple(zip(self.weights, self.pipelines, strict=True))

    @property
    def member_weights(self) -> tuple[float, ...]:
        """Weight of each single model."""
        return self.weights

    def _features(self, rows: pd.DataFrame) -> pd.DataFrame:
        features = pd.concat([pipeline._features(rows) for pipeline in self.pipelines], axis=1)
        return features.loc[:, ~features.columns.duplicated()]

    def _predict_members(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        return np.stack([pipeline._mean(pipeline._predict_members(rows)) for pipeline in self.pipelines])

    def save(self, folder: Path) -> None:
        """Write the pipelines and their weights."""
        names = [f"{i}-{pipeline.model_name}" for i, pipeline in enumerate(self.pipelines)]
        for name, pipeline in zip(names, self.pipelines, strict=True):
            pipeline.save(folder / name)
        content = {"parts": names, "shares": list(self.weights), **self._json_of_calibration()}
        (folder / ENSEMBLE_FILE).write_text(json.dumps(content, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> WeightedEnsemble:
        """Read what ``save`` wrote.

        Raises:
            DataError: this code cannot read it.
        """
        with reading(folder):
            content = json.loads((folder / ENSEMBLE_FILE).read_text())
            return cls(
                pipelines=tuple(Pipeline.load(folder / name) for name in content["parts"]),
                weights=tuple(content["shares"]),
                **cls._calibration_from_json(content),
            )


def load_predictor(folder: Path) -> Pipeline | WeightedEnsemble:
    """Return the predictor that a folder holds, a single model or an ensemble.

    Raises:
        DataError: there is none, or this code cannot read it.
    """
    return WeightedEnsemble.load(folder) if (folder / ENSEMBLE_FILE).is_file() else Pipeline.load(folder)
