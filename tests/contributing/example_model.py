"""Ridge regression: the SOH as a weighted sum of scaled features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from battery_core.base_settings import SectionSettings, setting
from battery_core.models.base import ArrayRegressor, check_features, read_metadata, write_metadata


class RidgeSettings(SectionSettings):
    """Ridge regression on the features of one check-up."""

    alpha: float = setting(1.0, "Penalty on squared weights", gt=0)


class RidgeModel(ArrayRegressor):
    """Ridge regression with an intercept that is not penalised.

    Args:
        params: settings by name, see ``RidgeSettings``.
    """

    def __init__(self, **params: Any) -> None:
        self.settings = RidgeSettings(**params)
        self.weights = np.empty((0, 1))  # (F, D)
        self.intercept = np.zeros(1)  # (D,)

    def fit(
        self,
        X_train: npt.NDArray[Any],
        y_train: npt.NDArray[Any],
        X_val: npt.NDArray[Any] | None = None,
        y_val: npt.NDArray[Any] | None = None,
        *,
        train_cells: Sequence[str] = (),
        val_cells: Sequence[str] = (),
    ) -> Self:
        """Solve the normal equations of training rows; validation rows are not used."""
        mean, self.intercept = X_train.mean(axis=0), y_train.mean(axis=0)
        x = X_train - mean
        penalty = self.settings.alpha * np.eye(x.shape[1])
        self.weights = np.linalg.solve(x.T @ x + penalty, x.T @ (y_train - self.intercept))
        self.intercept = self.intercept - mean @ self.weights
        return self

    def predict(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return estimates, shape (N, D), of rows, shape (N, F)."""
        check_features(x, len(self.weights), "RidgeModel")
        return np.asarray(x @ self.weights + self.intercept, dtype=np.float64)

    def save(self, folder: Path | str) -> None:
        """Write weights and settings as JSON."""
        fitted = {"weights": self.weights.tolist(), "intercept": self.intercept.tolist()}
        write_metadata(Path(folder), {"kind": "RidgeModel", "settings": self.settings.model_dump(), **fitted})

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what ``save`` wrote."""
        metadata = read_metadata(folder, "RidgeModel")
        model = cls(**metadata["settings"])
        model.weights, model.intercept = np.array(metadata["weights"]), np.array(metadata["intercept"])
        return model
