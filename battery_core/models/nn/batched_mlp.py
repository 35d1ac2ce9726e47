"""Perceptrons of one shape side by side: each layer of all members is one batched product."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchedMLP(nn.Module):
    """K perceptrons as one: the same numbers as one by one, at a fraction of the calls.

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
        """Estimates of all members."""
        if x.ndim == 2:
            x = x.expand(self.n_members, *x.shape)  # (B, F) -> (K, B, F)
        # (K, B, F) -> (K, F, B): gradients of weights then come in their layout, not turned
        out: Tensor = self.layers(x.transpose(1, 2))
        return out.transpose(1, 2)

    def copy_to(self, member: nn.Sequential, index: int) -> None:
        """Give a single perceptron the weights of one member."""
        with torch.no_grad():
            for part, stacked in zip(member, self.layers, strict=True):
                if isinstance(stacked, BatchedLinear) and isinstance(part, nn.Linear):
                    part.weight.copy_(stacked.weight[index])
                    part.bias.copy_(stacked.bias[index])


class BatchedLinear(nn.Module):
    """One linear layer of K members.

    Shape:
        (K, in, B) -> (K, out, B)
    """

    def __init__(self, members: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([part.weight.detach() for part in members]))  # (K, out, in)
        self.bias = nn.Parameter(torch.stack([part.bias.detach() for part in members]))  # (K, out)

    def forward(self, x: Tensor) -> Tensor:
        """Each member's units from its own."""
        return torch.baddbmm(self.bias.unsqueeze(2), self.weight, x)


class PackedDropout(nn.Module):
    """Dropout that draws one 64-bit word for four units: drawing unit by unit would cost as much as all layers.

    The share is rounded to 1/65536, and units that stay are scaled by the rounded share, so that the mean is exact.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.dropped = round(share * 65536)

    def forward(self, x: Tensor) -> Tensor:
        """Units set to 0 while training."""
        if not self.training or self.dropped == 0:
            return x
        if torch.compiler.is_compiling() or x.device.type != "cpu":
            return F.dropout(x, self.share)  # one kernel there
        return x * self.draw(x)

    def draw(self, x: Tensor) -> Tensor:
        """What each unit is multiplied by: 0, or the inverse of the share that stays."""
        words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        drawn = words.view(torch.int16)[: x.numel()].view(x.shape)  # even over -32768..32767
        stays = drawn.float().sub_(self.dropped - 32769).clamp_(0, 1)  # 1 from dropped - 32768 on; no slow comparison
        return stays.mul_(65536 / (65536 - self.dropped)).to(x.dtype)


def _stack(parts: Sequence[nn.Module]) -> nn.Module:
    """One layer of all members; what has no weights is the first member's."""
    if isinstance(parts[0], nn.Linear):
        return BatchedLinear([part for part in parts if isinstance(part, nn.Linear)])
    return PackedDropout(parts[0].p) if isinstance(parts[0], nn.Dropout) else parts[0]
