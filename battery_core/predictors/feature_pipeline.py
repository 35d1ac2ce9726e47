"""Raw measured rows to scaled features: the one order of steps that training and prediction share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.data.tables.roles import Role
from battery_core.features.base import build_features
from battery_core.features.registry import FEATURES
from battery_core.features.scaling import Scaler
from battery_core.features.sequences import SequenceIndex, sequence_index, with_training_time
from battery_core.features.sets.condition import with_training_groups
from battery_core.features.settings import FeatureSettings


@dataclass(frozen=True)
class FeaturePipeline:
    """Raw rows to features, scaled by training cells; for sequence models also which rows precede each row.

    Args:
        settings: feature sets and their constants, with the groups and the time axis of training.
        feature_names: the F features, in order.
        raw_columns: measured columns that a row must have.
        scaler: fitted on training cells only.
        takes_sequences: whether the model reads sequences of check-ups.
    """

    settings: FeatureSettings
    feature_names: tuple[str, ...]
    raw_columns: tuple[str, ...]
    scaler: Scaler
    takes_sequences: bool = False

    @classmethod
    def fit(
        cls, train_rows: pd.DataFrame, settings: FeatureSettings, roles: Mapping[str, Role], takes_sequences: bool
    ) -> Self:
        """Choose columns and fit the scaler; never give it rows of validation or test cells.

        A feature without a value in any training row is left out.

        Args:
            train_rows: raw rows of training cells.
            settings: feature sets by name and their constants.
            roles: role of each raw column; label-equivalent ones are never read.
            takes_sequences: whether the model reads sequences of check-ups.

        Raises:
            DataError: a required column is missing, or no feature is left.
        """
        settings = with_training_groups(settings, train_rows["group"])
        raw_columns = _raw_columns(train_rows, settings.sets, roles)
        if takes_sequences:
            settings = with_training_time(settings, train_rows)
            raw_columns += [name for name in [settings.history_time] if name not in raw_columns]
        features = build_features(train_rows[raw_columns], settings.sets, settings)
        scaler = Scaler.fit(features.to_numpy(), list(features.columns), settings.clip_quantile)
        return cls(settings, tuple(map(str, features.columns)), tuple(raw_columns), scaler, takes_sequences)

    def features(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return features before scaling, shape (N, F), in the order of ``feature_names``, with the index of ``rows``.

        ``rows`` have all of ``raw_columns``; a feature that cannot be computed is NaN.
        """
        if len(rows) == 0:
            return pd.DataFrame(np.empty((0, len(self.feature_names))), rows.index, list(self.feature_names))
        features = build_features(rows[list(self.raw_columns)], self.settings.sets, self.settings)
        return features.reindex(columns=list(self.feature_names))

    def transform(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return scaled features, shape (N, F)."""
        return self.scaler.transform(self.features(rows).to_numpy(dtype=np.float64))

    def sequence_index(self, rows: pd.DataFrame) -> SequenceIndex:
        """Return which rows make up the sequence of each row, shape (N, T)."""
        return sequence_index(rows, self.settings)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "features": self.settings.model_dump(mode="json"),
            "feature_names": list(self.feature_names),
            "raw_columns": list(self.raw_columns),
            "scaler": self.scaler.to_json(),
            "histories": self.takes_sequences,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return what ``to_json`` wrote."""
        return cls(
            FeatureSettings(**content["features"]),
            tuple(content["feature_names"]),
            tuple(content["raw_columns"]),
            Scaler.from_json(content["scaler"]),
            content["histories"],
        )


def _raw_columns(rows: pd.DataFrame, sets: Sequence[str], roles: Mapping[str, Role]) -> list[str]:
    """Return the measured columns that these feature sets read, without label-equivalent ones."""
    wanted = {column for name in sets for column in (*FEATURES[name].requires, *FEATURES[name].uses)}
    hidden = {column for column, role in roles.items() if role is Role.LABEL_EQUIVALENT}
    return ["cell_id", "checkup_index", *(c for c in rows.columns if c in wanted - hidden)]
