"""One model with its feature pipeline: raw measured rows in, SOH out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.errors import DataError
from battery_core.features.base import pieces_of_cells
from battery_core.models.base import Regressor, SequenceRegressor
from battery_core.models.registry import model_spec
from battery_core.predictors.base import SohPredictor, reading
from battery_core.predictors.feature_pipeline import FeaturePipeline
from battery_core.uncertainty.conformal import Conformal
from battery_core.uncertainty.training_domain import TrainingDomain

PIPELINE_FILE = "pipeline.json"
_SEQUENCES_AT_ONCE = 8192  # in memory
_ROWS_AT_ONCE = 65536  # rows whose features are in memory at a time, about: whole cells


@dataclass(frozen=True)
class Pipeline(SohPredictor):
    """A fitted SOH model with all that was fitted for it on training cells.

    Args:
        model_name: name of the model in the settings.
        model: the fitted model; it gives the SOH in units of ``target_scale`` around ``target_mean``.
        feature_pipeline: raw rows to scaled features.
        target_mean: SOH where the model gives 0; measured on training cells.
        target_scale: SOH for 1 of the model's output.
        metadata: what a reader of the model needs: source, data version, cells, SOH reference.
        conformal: width of its intervals, calibrated on validation cells; None before that.
        training_domain: the measured values of the training cells; None before they are measured.
    """

    model_name: str
    model: Regressor
    feature_pipeline: FeaturePipeline
    target_mean: float = 0.0
    target_scale: float = 1.0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    conformal: Conformal | None = None
    training_domain: TrainingDomain | None = None

    @property
    def raw_columns(self) -> tuple[str, ...]:
        """Measured columns that a row must have."""
        return self.feature_pipeline.raw_columns

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The F features, in order."""
        return self.feature_pipeline.feature_names

    @property
    def weighted_pipelines(self) -> tuple[tuple[float, Pipeline], ...]:
        """This pipeline alone, with weight 1."""
        return ((1.0, self),)

    @property
    def member_weights(self) -> None:
        """None: members of a model weigh the same."""

    def predict_scaled(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the SOH, shape (N,), of scaled features, shape (N, F), of a model without sequences."""
        return self._to_soh(self.model.predict(x)).reshape(len(x))

    def _features(self, rows: pd.DataFrame) -> pd.DataFrame:
        return self.feature_pipeline.features(rows)

    def _predict_members(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        pieces = pieces_of_cells(rows["cell_id"], _ROWS_AT_ONCE)
        return np.concatenate([self._predict_piece(rows.iloc[piece]) for piece in pieces], axis=1)

    def _predict_piece(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        x = self.feature_pipeline.transform(rows)
        output = self._predict_sequences(x, rows) if self._takes_sequences else self.model.predict_members(x)
        return self._to_soh(output).reshape(len(output), len(rows))  # (K, N, 1) -> (K, N)

    def _predict_sequences(self, x: npt.NDArray[np.float64], rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return the output of each member, shape (K, N, 1); in pieces, so that memory stays that of the rows."""
        index, model = self.feature_pipeline.sequence_index(rows), cast(SequenceRegressor, self.model)
        starts = range(0, max(len(rows), 1), _SEQUENCES_AT_ONCE)
        pieces = [index.take(slice(start, start + _SEQUENCES_AT_ONCE)) for start in starts]
        outputs = [model.predict_members(piece.gather(x), mask=piece.mask, t=piece.t) for piece in pieces]
        return np.concatenate(outputs, axis=1)

    @property
    def _takes_sequences(self) -> bool:
        return self.feature_pipeline.takes_sequences

    def _to_soh(self, output: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        soh: npt.NDArray[np.float64] = np.asarray(output, dtype=np.float64) * self.target_scale + self.target_mean
        return soh

    def save(self, folder: Path) -> None:
        """Write the pipeline as JSON, model text and weights; nothing is pickled."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save(folder / "model")
        content = {
            "model_name": self.model_name,
            **self.feature_pipeline.to_json(),
            "target": {"mean": self.target_mean, "scale": self.target_scale},
            **self._json_of_calibration(),
        }
        (folder / PIPELINE_FILE).write_text(json.dumps(content, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Pipeline:
        """Read what ``save`` wrote.

        Raises:
            DataError: there is no pipeline in the folder, or one that this code cannot read.
        """
        file = folder / PIPELINE_FILE
        if not file.is_file():
            raise DataError(f"pipeline: expected '{PIPELINE_FILE}' in '{folder}', found none - train a model first")
        with reading(folder):
            content = json.loads(file.read_text())
            return cls(
                model_name=content["model_name"],
                model=model_spec(content["model_name"]).load_regressor().load(folder / "model"),
                feature_pipeline=FeaturePipeline.from_json(content),
                target_mean=content["target"]["mean"],
                target_scale=content["target"]["scale"],
                **cls._calibration_from_json(content),
            )
