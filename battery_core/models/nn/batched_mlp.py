"""Batched ensemble of perceptrons of one shape: each layer of all members is one batched product."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchedMLP(nn.Module):
    """Compute K perceptrons as one network: the same numbers as one by one, with far fewer calls.

    Args:
        members: perceptrons of one shape, whose weights are copied.

    Shape:
        (B, F) or (K, B, F) -> (K, B, D)

    Example:
        >>> members = [nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1)) for _ in range(4)]
        >>> BatchedMLP(members)(torch.zeros(5, 3)).shape
        torch.Size([4, 5, 1])
    """

    def __init__(self, members: Sequence[nn.Sequential]) -> None:
        super().__init__()
        self.n_members = len(members)
        self.layers = nn.Sequential(*(_stack(parts) for parts in zip(*members, strict=True)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the estimates of all members."""
        if x.ndim == 2:
            x = x.expand(self.n_members, *x.shape)  # (B, F) -> (K, B, F)
        # (K, B, F) -> (K, F, B): weight gradients then have the layout of the weights, not its transpose
        out: Tensor = self.layers(x.transpose(1, 2))
        return out.transpose(1, 2)

    def copy_to(self, member: nn.Sequential, index: int) -> None:
        """Copy the weights of one member into a single perceptron."""
        with torch.no_grad():
            for part, stacked in zip(member, self.layers, strict=True):
                if isinstance(stacked, BatchedLinear) and isinstance(part, nn.Linear):
                    part.weight.copy_(stacked.weight[index])
                    part.bias.copy_(stacked.bias[index])


class BatchedLinear(nn.Module):
    """Apply one linear layer of K members.

    Shape:
        (K, in, B) -> (K, out, B)
    """

    def __init__(self, members: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([part.weight.detach() for part in members]))  # (K, out, in)
        self.bias = nn.Parameter(torch.stack([part.bias.detach() for part in members]))  # (K, out)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of each member from its own inputs."""
        return torch.baddbmm(self.bias.unsqueeze(2), self.weight, x)


class PackedDropout(nn.Module):
    """Draw dropout as one 64-bit word per four units; a draw per unit would cost as much as all layers.

    The probability is rounded to 1/65536, and units that stay are scaled by the rounded one, so that the mean is exact.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.dropped = round(p * 65536)

    def forward(self, x: Tensor) -> Tensor:
        """Set units to 0 while training."""
        if not self.training or self.dropped == 0:
            return x
        if torch.compiler.is_compiling() or x.device.type != "cpu":
            return F.dropout(x, self.p)  # one kernel there
        return x * self.draw(x)

    def draw(self, x: Tensor) -> Tensor:
        """Return the factor of each unit: 0, or the inverse of the keep probability."""
        words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        drawn = words.view(torch.int16)[: x.numel()].view(x.shape)  # even over -32768..32767
        stays = drawn.float().sub_(self.dropped - 32769).clamp_(0, 1)  # 1 from dropped - 32768 on; no slow comparison
        return stays.mul_(65536 / (65536 - self.dropped)).to(x.dtype)


def _stack(layers: Sequence[nn.Module]) -> nn.Module:
    """Return one layer of all members; a layer without weights is that of the first member."""
    if isinstance(layers[0], nn.Linear):
        return BatchedLinear([layer for layer in layers if isinstance(layer, nn.Linear)])
    return PackedDropout(layers[0].p) if isinstance(layers[0], nn.Dropout) else layers[0]
