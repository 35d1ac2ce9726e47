"""Base class of the torch models: batched prediction, saving without pickle, initial weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from battery_core.errors import DataError, SettingsError
from battery_core.models.base import check_features, read_metadata, write_metadata

WEIGHTS_FILE = "model.pt"
#: Rows in one forward pass without gradient; few enough that layer outputs stay in the processor cache.
_CHUNK = 1024
_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


class TorchModel(nn.Module, ABC):
    """Provide prediction and saving; the model stores the arguments of its constructor.

    Args:
        input_dim: features F.
        n_members: K networks trained at once; network i has the initial weights of a single model made after
            ``torch.manual_seed(seed + i)``, where ``seed`` is the last seed set.
        hyperparameters: the other arguments of the subclass, JSON values.

    Raises:
        SettingsError: no feature, or no member.
    """

    def __init__(self, input_dim: int, n_members: int = 1, **hyperparameters: Any) -> None:
        super().__init__()
        if input_dim < 1:
            raise SettingsError(f"{type(self).__name__} input_dim: expected at least 1 feature, got {input_dim}")
        if n_members < 1:
            raise SettingsError(f"{type(self).__name__} n_members: expected at least 1, got {n_members}")
        self.input_dim, self.n_members = input_dim, n_members
        self.hyperparameters = {"input_dim": input_dim, **hyperparameters, "n_members": n_members}

    def predict(
        self, x: npt.NDArray[Any] | Tensor, mask: npt.NDArray[Any] | None = None, t: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[np.float64]:
        """Return estimates, shape (N, D), of rows (N, F) or histories (N, T, F) with ``mask`` and days ``t`` (N, T).

        With several members, the estimate is their mean.

        Raises:
            DataError: the number of features differs from that of the model.
        """
        mean: npt.NDArray[np.float64] = self.predict_members(x, mask, t).mean(axis=0)
        return mean

    def predict_members(
        self, x: npt.NDArray[Any] | Tensor, mask: npt.NDArray[Any] | None = None, t: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[np.float64]:
        """Return estimates of each member, shape (K, N, D); their standard deviation is the spread."""
        estimates = self._estimates(x, mask, t)
        return estimates[None] if self.n_members == 1 else estimates

    def member(self, index: int) -> Self:
        """Return one member as a separate model, in evaluation mode."""
        if self.n_members == 1:
            return self
        single = type(self)(**(self.hyperparameters | {"n_members": 1}))
        self.copy_member(single, index)
        return single.eval()

    @abstractmethod
    def copy_member(self, single: Self, index: int) -> None:
        """Copy the weights of one member into a single model."""

    def singles(self) -> list[Self]:
        """Return the members as single models, each initialised with its seed."""
        models, first_seed = [], torch.initial_seed()
        for i in range(self.n_members):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(first_seed + i)
                models.append(type(self)(**(self.hyperparameters | {"n_members": 1})))
        return models

    def _estimates(
        self, x: npt.NDArray[Any] | Tensor, mask: npt.NDArray[Any] | None = None, t: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[np.float64]:
        """Return the output of ``forward`` for all rows, computed in pieces, (..., N, D)."""
        rows = np.asarray(x)
        check_features(rows, self.input_dim, type(self).__name__)
        optional = {"mask": (mask, torch.bool), "t": (t, torch.float32)}
        extra = {
            name: torch.as_tensor(np.asarray(v), dtype=kind) for name, (v, kind) in optional.items() if v is not None
        }
        device = next(self.parameters()).device
        features = torch.as_tensor(rows, dtype=torch.float32)
        was_training = self.training
        self.eval()
        try:
            with torch.no_grad():
                parts = [
                    self(
                        features[i : i + _CHUNK].to(device),
                        **{k: v[i : i + _CHUNK].to(device) for k, v in extra.items()},
                    )
                    for i in range(0, max(len(rows), 1), _CHUNK)
                ]
        finally:
            self.train(was_training)
        return torch.cat(parts, dim=-2).cpu().numpy().astype(np.float64)  # (..., N, D)

    def save(self, folder: Path | str) -> None:
        """Write the weights and the constructor arguments, without pickle."""
        folder = Path(folder)
        write_metadata(folder, {"kind": type(self).__name__, "hyperparameters": self.hyperparameters})
        torch.save({name: tensor.cpu() for name, tensor in self.state_dict().items()}, folder / WEIGHTS_FILE)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read a model that ``save`` wrote; it is on the CPU and in evaluation mode.

        Raises:
            DataError: the folder has no model of this class.
        """
        about = read_metadata(folder, cls.__name__)
        weights = Path(folder) / WEIGHTS_FILE
        if not weights.is_file():
            raise DataError(
                f"model folder '{folder}': expected '{WEIGHTS_FILE}' in it, found none - save the model again"
            )
        model = cls(**about["hyperparameters"])
        model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        return model.eval()


def activation(name: str) -> nn.Module:
    """Return a nonlinearity by name.

    Raises:
        SettingsError: there is none of that name.
    """
    if name not in _ACTIVATIONS:
        raise SettingsError(f"activation '{name}': expected one of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]()


def initialise(model: nn.Module, how: str) -> None:
    """Set initial weights: ``torch`` leaves them, ``xavier`` and ``he`` redraw matrices and zero the biases.

    Raises:
        SettingsError: none of the three.

    Reference:
        X. Glorot, Y. Bengio (2010), equation 16; K. He et al., Delving deep into rectifiers (2015), equation 10.
    """
    if how == "torch":
        return
    if how not in ("xavier", "he"):
        raise SettingsError(f"init '{how}': expected torch, xavier or he")
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2:
            nn.init.xavier_uniform_(parameter) if how == "xavier" else nn.init.kaiming_normal_(parameter)
        elif "bias" in name:
            nn.init.zeros_(parameter)
