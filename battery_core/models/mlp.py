"""Multi-layer perceptron: features of one check-up to its SOH; optionally several seeds at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from battery_core.errors import SettingsError
from battery_core.models.nn.base import TorchModel, activation, initialise
from battery_core.models.nn.batched_mlp import BatchedMLP
from battery_core.models.settings import MLPSettings

_DEFAULT = MLPSettings()


class MLPModel(TorchModel):
    """Stack linear layers with a nonlinearity and dropout between them.

    Args:
        input_dim: features F of a check-up.
        hidden_dims: width of each hidden layer; none makes the model linear.
        dropout: share of hidden units dropped while training.
        output_dim: targets D.
        activation: relu, gelu, silu or tanh.
        init: torch, xavier or he.
        n_members: networks trained at once, see ``TorchModel``.

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
        self.layers: nn.Sequential | BatchedMLP = _layers([input_dim, *hidden_dims], output_dim, dropout, activation)
        initialise(self, init)
        if n_members > 1:
            self.layers = BatchedMLP([cast(nn.Sequential, single.layers) for single in self.singles()])

    def forward(self, x: Tensor) -> Tensor:
        """Return SOH of each check-up, by each member if there are several."""
        out: Tensor = self.layers(x)
        return out

    def copy_member(self, single: MLPModel, index: int) -> None:
        """Copy the weights of one member into a single perceptron."""
        if isinstance(self.layers, BatchedMLP) and isinstance(single.layers, nn.Sequential):
            self.layers.copy_to(single.layers, index)


def _layers(dims: list[int], output_dim: int, dropout: float, nonlinearity: str) -> nn.Sequential:
    parts: list[nn.Module] = []
    for before, after in pairwise(dims):
        parts += [nn.Linear(before, after), activation(nonlinearity)]
        if dropout > 0:
            parts.append(nn.Dropout(dropout))
    return nn.Sequential(*parts, nn.Linear(dims[-1], output_dim))
