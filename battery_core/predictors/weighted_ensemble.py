"""Several fitted models as one: their weighted mean, weighted by what they err on validation cells."""

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
    """The weighted mean of fitted pipelines.

    Args:
        parts: the pipelines.
        shares: how much each counts; they sum to 1.
        facts: what a reader of the model must know.
        conformal: how far a prediction may be off, calibrated on validation cells; None before that.
        training_range: the measured values of the training cells; None before they are measured.
    """

    parts: tuple[Pipeline, ...]
    shares: tuple[float, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    conformal: Conformal | None = None
    training_range: TrainingDomain | None = None
    model_name: str = NAME

    @property
    def raw_columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Measured columns that some part reads."""
        return tuple(dict.fromkeys(column for part in self.parts for column in part.raw_columns))

    def members(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """SOH by each part, shape (K, N): the spread is that between the models."""
        return np.stack([part.predict(rows) for part in self.parts])

    def features(self, rows: pd.DataFrame) -> pd.DataFrame:
        """What the parts are told, each feature once."""
        told = pd.concat([part.features(rows) for part in self.parts], axis=1)
        return told.loc[:, ~told.columns.duplicated()]

    def save(self, folder: Path) -> None:
        """Write the parts and how they are mixed."""
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"{i}-{part.model_name}" for i, part in enumerate(self.parts)]
        for name, part in zip(names, self.parts, strict=True):
            part.save(folder / name)
        about = {
            "parts": names,
            "shares": list(self.shares),
            "facts": dict(self.facts),
            "conformal": self.conformal.to_json() if self.conformal else None,
            "training_range": self.training_range.to_json() if self.training_range else None,
        }
        (folder / ENSEMBLE_FILE).write_text(json.dumps(about, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> WeightedEnsemble:
        """Read what ``save`` wrote.

        Raises:
            DataError: this code cannot read it.
        """
        with reading(folder):
            about = json.loads((folder / ENSEMBLE_FILE).read_text())
            return cls(
                parts=tuple(Pipeline.load(folder / name) for name in about["parts"]),
                shares=tuple(about["shares"]),
                facts=about["facts"],
                conformal=Conformal.from_json(about["conformal"]) if about["conformal"] else None,
                training_range=TrainingDomain.from_json(about["training_range"]) if about["training_range"] else None,
            )


def load_predictor(folder: Path) -> Pipeline | WeightedEnsemble:
    """The model that a folder holds, a single one or a blend.

    Raises:
        DataError: there is none, or this code cannot read it.
    """
    return WeightedEnsemble.load(folder) if (folder / ENSEMBLE_FILE).is_file() else Pipeline.load(folder)
