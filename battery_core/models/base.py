"""The interface of a regressor and the format of model folders; importable without torch and LightGBM."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from battery_core.errors import DataError

METADATA_FILE = "model.json"
"""Beside the weights: the kind of model and how it was made."""


class Regressor(Protocol):
    """Define a fitted model: features of check-ups to SOH; saved without pickle."""

    def predict(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return estimates, shape (N, D), of rows, shape (N, F)."""
        ...

    def predict_members(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return estimates of each of K members, shape (K, N, D); K is 1 for a model that is no ensemble."""
        ...

    def save(self, folder: Path | str) -> None:
        """Write the model into a folder."""
        ...

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what ``save`` wrote."""
        ...


class SequenceRegressor(Regressor, Protocol):
    """Define a regressor that reads a cell's check-ups in order, up to the one to predict."""

    def predict_members(
        self, x: npt.NDArray[Any], mask: npt.NDArray[Any] | None = None, t: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[np.float64]:
        """Return estimates, shape (K, N, D), of sequences x (N, T, F) with mask (N, T) and time t (N, T)."""
        ...


class ArrayRegressor(ABC):
    """Define a regressor that fits itself to arrays; a network is fitted by the ``Trainer`` instead."""

    precision: ClassVar[str] = "float64"
    """Number format of the fit."""
    history: Mapping[str, Sequence[float]] = MappingProxyType({})
    """Series of the fit, such as ``val_mape``; those of validation cells start with ``val_`` and are logged."""

    @abstractmethod
    def __init__(self, **params: Any) -> None:
        """Take the settings of the model by name."""

    @property
    def summary(self) -> Mapping[str, float]:
        """Return figures of the fit for a report, such as the best number of trees."""
        return {}

    @abstractmethod
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
        """Fit to scaled rows of training cells, shapes (N, F) and (N, D); validation rows are of other cells.

        ``train_cells`` and ``val_cells`` have the cell of each row, for a model that weighs cells, not rows.
        """

    @abstractmethod
    def predict(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return estimates, shape (N, D), of rows, shape (N, F)."""

    def predict_members(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the estimates as those of a single member, shape (1, N, D)."""
        return self.predict(x)[None]

    @abstractmethod
    def save(self, folder: Path | str) -> None:
        """Write the model into a folder, without pickle."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what ``save`` wrote."""


def write_metadata(folder: Path, metadata: dict[str, Any]) -> None:
    """Write the kind of a model and how it was made into its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / METADATA_FILE).write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")


def read_metadata(folder: Path | str, kind: str) -> dict[str, Any]:
    """Read the kind of a model and how it was made.

    Raises:
        DataError: the folder has no model, or one of another kind.
    """
    file = Path(folder) / METADATA_FILE
    if not file.is_file():
        raise DataError(
            f"model folder '{folder}': expected '{METADATA_FILE}' in it, found none - save a model there first"
        )
    metadata: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if metadata.get("kind") != kind:
        raise DataError(
            f"model folder '{folder}': expected a {kind}, found a {metadata.get('kind')} - load it with that class"
        )
    return metadata


def check_features(x: npt.NDArray[Any], expected: int, model: str) -> None:
    """Refuse rows with another number of features than the model was made for.

    Raises:
        DataError: the widths differ.
    """
    if x.shape[-1] != expected:
        raise DataError(
            f"{model}: expected {expected} features, got {x.shape[-1]} (shape {x.shape}) - build the same features"
        )
