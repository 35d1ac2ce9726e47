"""Ensembles of networks whose layers cannot be batched: one forward pass per member in each step."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call


class ParallelMembers(nn.Module):
    """Compute K networks as one; each weight of all networks is a single tensor (K, ...).

    A recurrent layer cannot be batched over members as a perceptron can (``BatchedMLP``). Each member therefore
    computes its own rows in turn.

    Args:
        members: networks of one shape without buffers, whose weights are copied.

    Shape:
        x (B, T, F) or (K, B, T, F), mask and t (B, T) or (K, B, T) -> (K, B, D)

    Example:
        >>> class Last(nn.Linear):
        ...     def forward(self, x, mask=None, t=None):
        ...         return super().forward(x[:, -1])
        >>> ParallelMembers([Last(3, 1) for _ in range(4)])(torch.zeros(5, 2, 3)).shape
        torch.Size([4, 5, 1])
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.n_members = len(members)
        named = [dict(member.named_parameters()) for member in members]
        self._names = list(named[0])
        self.weights = nn.ParameterDict(
            {
                _key(name): nn.Parameter(torch.stack([weights[name].detach() for weights in named]))
                for name in self._names
            }
        )
        # in a list, so that torch does not register its weights, which hold no values, as parameters
        self._shape = [copy.deepcopy(members[0]).to("meta")]

    def forward(self, x: Tensor, mask: Tensor | None = None, t: Tensor | None = None) -> Tensor:
        """Return the estimates of all members."""
        has_own_rows = x.ndim == 4
        # the call sets the weights of the shared module for a moment: concurrent requests need a copy each
        shape = self._shape[0] if self.training else copy.deepcopy(self._shape[0])
        weights = zip(*(self.weights[_key(name)].unbind() for name in self._names), strict=True)
        outputs = []
        for i, member_weights in enumerate(weights):
            rows, *beside = (None if part is None else part[i] if has_own_rows else part for part in (x, mask, t))
            named = dict(zip(self._names, member_weights, strict=True))
            outputs.append(functional_call(shape, named, (rows, *beside)))
        return torch.stack(outputs)

    def train(self, mode: bool = True) -> ParallelMembers:
        """Set training mode; dropout of the members follows."""
        self._shape[0].train(mode)
        return super().train(mode)

    def copy_to(self, member: nn.Module, index: int) -> None:
        """Copy the weights of one member into a single network."""
        with torch.no_grad():
            for name, weight in member.named_parameters():
                weight.copy_(self.weights[_key(name)][index])


def _key(name: str) -> str:
    """Return a name without dots, which torch reserves for nested modules."""
    return name.replace(".", "/")
