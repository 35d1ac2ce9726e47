"""Perceptrons of one shape side by side: each layer of all members is one batched product."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
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
        others = [
            _WordDropout(p.p) if isinstance(p, nn.Dropout) else p for p in members[0] if not isinstance(p, nn.Linear)
        ]
        gaps = max(len(layers) - 1, 1)
        size = len(others) // gaps
        self.between = nn.ModuleList(nn.Sequential(*others[i * size : (i + 1) * size]) for i in range(gaps))

    def forward(self, x: Tensor) -> Tensor:
        """Estimates of all members."""
        if x.ndim == 2:
            x = x.expand(len(self.weights[0]), *x.shape)  # (B, F) -> (K, B, F)
        x = x.transpose(1, 2)  # (K, B, F) -> (K, F, B): gradients of weights then come in their layout, not turned
        for depth, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if depth:
                x = self.between[depth - 1](x)
            x = torch.baddbmm(bias.unsqueeze(2), weight, x)  # (K, in, B) -> (K, out, B)
        return x.transpose(1, 2)

    def copy_to(self, member: nn.Sequential, index: int) -> None:
        """Give a single perceptron the weights of one member."""
        linears = [part for part in member if isinstance(part, nn.Linear)]
        with torch.no_grad():
            for part, weight, bias in zip(linears, self.weights, self.biases, strict=True):
                part.weight.copy_(weight[index])
                part.bias.copy_(bias[index])


class _WordDropout(nn.Module):
    """Dropout that draws one 64-bit word for four units: drawing unit by unit would cost as much as all layers.

    The share is rounded to 1/65536, and units that stay are scaled by the rounded share, so that the mean is exact.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self._dropped = round(share * 65536)

    def forward(self, x: Tensor) -> Tensor:
        """Units set to 0 while training."""
        if not self.training or self._dropped == 0:
            return x
        if torch.compiler.is_compiling() or x.device.type != "cpu":
            return F.dropout(x, self.share)  # one kernel there
        words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        drawn = words.view(torch.int16)[: x.numel()].view(x.shape)  # even over -32768..32767
        stays = drawn.float().sub_(self._dropped - 32769).clamp_(0, 1)  # 1 from dropped - 32768 on; no slow comparison
        return x * stays.mul_(65536 / (65536 - self._dropped)).to(x.dtype)
