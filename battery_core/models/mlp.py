"""Multi-layer perceptron: features of one check-up to its SOH; several seeds at once where asked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from battery_core.errors import SettingsError
from battery_core.models.settings import MLPSettings
from battery_core.models.stacked import StackedMLP
from battery_core.models.torch_base import TorchModel, activation, initialise

_DEFAULT = MLPSettings()


class MLPModel(TorchModel):
    """Linear layers with a nonlinearity and dropout between them.

    Args:
        input_dim: features F of a check-up.
        hidden_dims: width of each hidden layer; none makes the model linear.
        dropout: share of hidden units dropped while training.
        output_dim: targets D.
        activation: relu, gelu, silu or tanh.
        init: torch, xavier or he.
        n_members: K networks trained at once; network i has the initial weights of a single model made after
            ``torch.manual_seed(seed + i)``, with ``seed`` the one last set.

    Shape:
        (B, F) -> (B, D); with members (B, F) or (K, B, F) -> (K, B, D)

    Raises:
        SettingsError: an argument outside its limits.

    Example:
        >>> import torch
        >>> MLPModel(input_dim=5, hidden_dims=[64, 32], dropout=0.1)(torch.zeros(3, 5)).shape
        torch.Size([3, 1])
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dims: Sequence[int] = _DEFAULT.hidden_dims,
        dropout: float = _DEFAULT.dropout,
        output_dim: int = 1,
        activation: str = _DEFAULT.activation,
        init: str = _DEFAULT.init,
        n_members: int = _DEFAULT.n_members,
    ) -> None:
        super().__init__(
            input_dim, hidden_dims=list(hidden_dims), dropout=dropout, output_dim=output_dim, activation=activation,
            init=init, n_members=n_members,
        )  # fmt: skip
        if not 0 <= dropout < 1:
            raise SettingsError(f"MLPModel dropout: expected a share from 0 up to 1, got {dropout}")
        if n_members < 1:
            raise SettingsError(f"MLPModel n_members: expected at least 1, got {n_members}")
        self.n_members = n_members
        self.layers: nn.Sequential | StackedMLP = _layers([input_dim, *hidden_dims], output_dim, dropout, activation)
        initialise(self, init)
        if n_members > 1:
            self.layers = StackedMLP([self._single(torch.initial_seed() + i) for i in range(n_members)])

    def forward(self, x: Tensor) -> Tensor:
        """SOH of each check-up, by each member if there are several."""
        out: Tensor = self.layers(x)
        return out

    def predict(
        self, x: npt.NDArray[Any] | Tensor, mask: npt.NDArray[Any] | None = None, t: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[np.float64]:
        """Estimates, shape (N, D), of rows, shape (N, F); the mean over members."""
        mean: npt.NDArray[np.float64] = self.predict_members(x).mean(axis=0)
        return mean

    def predict_members(self, x: npt.NDArray[Any] | Tensor) -> npt.NDArray[np.float64]:
        """Estimates of each member, shape (K, N, D); their standard deviation is the spread."""
        estimates = self._estimates(x)
        return estimates[None] if self.n_members == 1 else estimates

    def member(self, index: int) -> MLPModel:
        """One member as a model of its own."""
        single = MLPModel(**(self.hyperparameters | {"n_members": 1}))
        if isinstance(self.layers, StackedMLP) and isinstance(single.layers, nn.Sequential):
            self.layers.copy_to(single.layers, index)
            return single.eval()
        return self

    def _single(self, seed: int) -> nn.Sequential:
        """Layers as a single model has them after this seed is set."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers = MLPModel(**(self.hyperparameters | {"n_members": 1})).layers
        assert isinstance(layers, nn.Sequential)
        return layers


def _layers(dims: list[int], output_dim: int, dropout: float, nonlinearity: str) -> nn.Sequential:
    parts: list[nn.Module] = []
    for before, after in pairwise(dims):
        parts += [nn.Linear(before, after), activation(nonlinearity)]
        if dropout > 0:
            parts.append(nn.Dropout(dropout))
    return nn.Sequential(*parts, nn.Linear(dims[-1], output_dim))
