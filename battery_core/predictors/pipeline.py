"""What serves: raw measured rows in, SOH out. Features, scaler and model travel together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.errors import DataError
from battery_core.features.base import build_features, pieces_of_cells
from battery_core.features.scaling import Scaler
from battery_core.features.sequences import sequence_index
from battery_core.features.settings import FeatureSettings
from battery_core.models.registry import model_spec
from battery_core.predictors.base import SohPredictor, reading
from battery_core.predictors.input_validation import check_columns
from battery_core.uncertainty.conformal import Conformal
from battery_core.uncertainty.training_domain import TrainingDomain

PIPELINE_FILE = "pipeline.json"
_PIECE = 8192  # rows whose histories are in memory at a time
_ROWS_AT_ONCE = 65536  # rows whose features are in memory at a time, about: whole cells


@dataclass(frozen=True)
class Pipeline(SohPredictor):
    """A fitted SOH model with all that was fitted for it on training cells.

    Args:
        model_name: name in the model registry.
        model: the fitted model; its ``predict`` takes (N, F) and gives (N, 1).
        feature_settings: which feature sets, and their constants.
        feature_names: the F columns, in order.
        scaler: fitted on training cells only.
        raw_columns: measured columns that a row must have.
        target_mean: SOH where the model gives 0; measured on training cells.
        target_scale: SOH for 1 of the model's output.
        histories: whether the model reads a cell's history: rows of a cell from its first check-up on are then given
            together, and ``predict`` of the model takes (N, T, F) with mask and time.
        facts: what a reader of the model must know: source, data version, cells, SOH reference.
        conformal: how far a prediction may be off, calibrated on validation cells; None before that.
        training_range: the measured values of the training cells; None before they are measured.
    """

    model_name: str
    model: Any
    feature_settings: FeatureSettings
    feature_names: tuple[str, ...]
    scaler: Scaler
    raw_columns: tuple[str, ...]
    target_mean: float = 0.0
    target_scale: float = 1.0
    histories: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    conformal: Conformal | None = None
    training_range: TrainingDomain | None = None

    def features(self, rows: pd.DataFrame) -> pd.DataFrame:
        """What the model is told of each row before scaling, shape (N, F), in the order of ``feature_names``.

        Raises:
            DataError: a measured column is missing.
        """
        check_columns(rows, self.raw_columns, self._who)
        features = build_features(rows[list(self.raw_columns)], self.feature_settings.sets, self.feature_settings)
        return features.reindex(columns=list(self.feature_names))

    def members(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """SOH by each member of the model, shape (K, N); a model that is no ensemble is its only member.

        Raises:
            DataError: a measured column is missing.
        """
        check_columns(rows, self.raw_columns, self._who)
        pieces = pieces_of_cells(rows["cell_id"], _ROWS_AT_ONCE)
        return np.concatenate([self._members_of_piece(rows.iloc[piece]) for piece in pieces], axis=1)

    def _members_of_piece(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        x = self.scaler.transform(self.features(rows).to_numpy(dtype=np.float64))
        if self.histories:
            output = self._of_histories(x, rows)
        elif hasattr(self.model, "predict_members"):
            output = self.model.predict_members(x)
        else:
            output = self.model.predict(x)
        output = np.asarray(output, dtype=np.float64).reshape(-1 if len(rows) else 1, len(rows))
        return output * self.target_scale + self.target_mean

    def _of_histories(self, x: npt.NDArray[np.float64], rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """The output of each member for each row with its history; in pieces, so that memory stays that of the rows."""
        index = sequence_index(rows, self.feature_settings)
        pieces = [index.take(slice(i, i + _PIECE)) for i in range(0, max(len(rows), 1), _PIECE)]
        said = [self.model.predict_members(piece.gather(x), mask=piece.mask, t=piece.t) for piece in pieces]
        return np.concatenate(said, axis=1)

    def save(self, folder: Path) -> None:
        """Write the pipeline as JSON, model text and weights; nothing is pickled."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save(folder / "model")
        about = {
            "model_name": self.model_name,
            "features": self.feature_settings.model_dump(mode="json"),
            "feature_names": list(self.feature_names),
            "raw_columns": list(self.raw_columns),
            "scaler": self.scaler.to_json(),
            "target": {"mean": self.target_mean, "scale": self.target_scale},
            "histories": self.histories,
            "facts": dict(self.facts),
            "conformal": self.conformal.to_json() if self.conformal else None,
            "training_range": self.training_range.to_json() if self.training_range else None,
        }
        (folder / PIPELINE_FILE).write_text(json.dumps(about, indent=2) + "\n")

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
            return cls._from_json(json.loads(file.read_text()), folder)

    @classmethod
    def _from_json(cls, about: Mapping[str, Any], folder: Path) -> Pipeline:
        conformal, seen = about.get("conformal"), about.get("training_range")  # older pipelines have neither
        return cls(
            model_name=about["model_name"],
            model=model_spec(about["model_name"]).load_regressor().load(folder / "model"),
            feature_settings=FeatureSettings(**about["features"]),
            feature_names=tuple(about["feature_names"]),
            scaler=Scaler.from_json(about["scaler"]),
            raw_columns=tuple(about["raw_columns"]),
            target_mean=about["target"]["mean"],
            target_scale=about["target"]["scale"],
            histories=about.get("histories", False),  # older pipelines read single check-ups
            facts=about["facts"],
            conformal=Conformal.from_json(conformal) if conformal else None,
            training_range=TrainingDomain.from_json(seen) if seen else None,
        )
