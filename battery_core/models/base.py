"""What every SOH model offers, and the models by name; nothing here imports torch or LightGBM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from battery_core.errors import DataError
from battery_core.registry import Registry

#: Beside the weights: which model it is and how it was made.
METADATA_FILE = "model.json"


class Model(Protocol):
    """A fitted model: features in, SOH out; kept on disk without pickle."""

    def predict(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Estimates, shape (N, D), of rows, shape (N, F)."""
        ...

    def save(self, folder: Path | str) -> None:
        """Write the model into a folder."""
        ...

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what ``save`` wrote."""
        ...


MODELS: Registry[Any] = Registry[Any](
    "model",
    {
        "lgbm": "battery_core.models.lgbm:LGBMModel",
        "mlp": "battery_core.models.mlp:MLPModel",
        "mlp_history": "battery_core.models.mlp:MLPModel",
        "kernel_ridge": "battery_core.models.kernel_ridge:KernelRidgeModel",
        "lstm": "battery_core.models.lstm_attention:LSTMAttentionModel",
        "neural_ode": "battery_core.models.neural_ode:NeuralODEModel",
    },
)


def write_metadata(folder: Path, about: dict[str, Any]) -> None:
    """Write how the model was made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / METADATA_FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def read_metadata(folder: Path | str, kind: str) -> dict[str, Any]:
    """Read how the model was made.

    Raises:
        DataError: the folder has no model, or one of another kind.
    """
    file = Path(folder) / METADATA_FILE
    if not file.is_file():
        raise DataError(
            f"model folder '{folder}': expected '{METADATA_FILE}' in it, found none - save a model there first"
        )
    about: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if about.get("kind") != kind:
        raise DataError(
            f"model folder '{folder}': expected a {kind}, found a {about.get('kind')} - load it with that class"
        )
    return about


def check_features(x: npt.NDArray[Any], expected: int, model: str) -> None:
    """Refuse rows with another number of features than the model was made for.

    Raises:
        DataError: the widths differ.
    """
    if x.shape[-1] != expected:
        raise DataError(
            f"{model}: expected {expected} features, got {x.shape[-1]} (shape {x.shape}) - build the same features"
        )
