"""Networks of one shape that train at once, one after another in each step: for layers that cannot be batched."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call


class ParallelMembers(nn.Module):
    """K networks as one, each weight of all of them a single tensor (K, ...).

    A recurrent layer of K members is no batched product as that of a perceptron is (``BatchedMLP``); so each member
    reads its own rows in turn.

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
            {_key(name): nn.Parameter(torch.stack([own[name].detach() for own in named])) for name in self._names}
        )
        # in a list, so that torch does not take its weights, which are nobody's, for ours
        self._shape = [copy.deepcopy(members[0]).to("meta")]

    def forward(self, x: Tensor, mask: Tensor | None = None, t: Tensor | None = None) -> Tensor:
        """Estimates of all members."""
        own = x.ndim == 4  # each has rows of its own
        # weights are put into the shape and taken out again: requests that are served side by side need one each
        shape = self._shape[0] if self.training else copy.deepcopy(self._shape[0])
        weights = zip(*(self.weights[_key(name)].unbind() for name in self._names), strict=True)
        said = []
        for i, mine in enumerate(weights):
            rows, *beside = (None if part is None else part[i] if own else part for part in (x, mask, t))
            said.append(functional_call(shape, dict(zip(self._names, mine, strict=True)), (rows, *beside)))
        return torch.stack(said)

    def train(self, mode: bool = True) -> ParallelMembers:
        """Dropout of the members follows."""
        self._shape[0].train(mode)
        return super().train(mode)

    def copy_to(self, member: nn.Module, index: int) -> None:
        """Give a single network the weights of one member."""
        with torch.no_grad():
            for name, weight in member.named_parameters():
                weight.copy_(self.weights[_key(name)][index])


def _key(name: str) -> str:
    """A name without dots, which torch keeps for modules within modules."""
    return name.replace(".", "/")
