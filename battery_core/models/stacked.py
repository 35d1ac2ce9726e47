"""Perceptrons of one shape side by side: each layer of all members is one batched product."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class StackedMLP(nn.Module):
    """K perceptrons as one: the same numbers as one by one, at a fraction of the calls.

    Args:
        members: perceptrons of one shape, whose weights are copied.

    Shape:
        (B, F) or (K, B, F) -> (K, B, D)

    Example:
        >>> members = [nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1)) for _ in range(4)]
        >>> StackedMLP(members)(torch.zeros(5, 3)).shape
        torch.Size([4, 5, 1])
    """

    def __init__(self, members: Sequence[nn.Sequential]) -> None:
        super().__init__()
        linears = [[part for part in member if isinstance(part, nn.Linear)] for member in members]
        layers = list(zip(*linears, strict=True))
        self.weights = nn.ParameterList(torch.stack([part.weight.detach() for part in layer]) for layer in layers)
        self.biases = nn.ParameterList(torch.stack([part.bias.detach() for part in layer]) for layer in layers)
        others = [part for part in members[0] if not isinstance(part, nn.Linear)]
        gaps = max(len(layers) - 1, 1)
        size = len(others) // gaps
        self.between = nn.ModuleList(nn.Sequential(*others[i * size : (i + 1) * size]) for i in range(gaps))

    def forward(self, x: Tensor) -> Tensor:
        """Estimates of all members."""
        if x.ndim == 2:
            x = x.expand(len(self.weights[0]), *x.shape)  # (B, F) -> (K, B, F)
        for depth, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if depth:
                x = self.between[depth - 1](x)
            x = torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))  # (K, B, in) -> (K, B, out)
        return x

    def copy_to(self, member: nn.Sequential, index: int) -> None:
        """Give a single perceptron the weights of one member."""
        linears = [part for part in member if isinstance(part, nn.Linear)]
        with torch.no_grad():
            for part, weight, bias in zip(linears, self.weights, self.biases, strict=True):
                part.weight.copy_(weight[index])
                part.bias.copy_(bias[index])
