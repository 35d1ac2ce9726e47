"""Layers of a plain perceptron with their gradients written out: the kernels that autograd calls, in its order.

Each layer is made for one epoch from a module, keeps of a batch what its gradient needs, and adds the gradients of its
weights to their ``grad``. Layers of several members at once have a dimension more in front: (K, units, B).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from battery_core.models.nn.batched_mlp import BatchedLinear, PackedDropout

_aten = torch.ops.aten
#: Gradient of each activation from that of its output, its input and its output: the kernels autograd calls.
_SLOPES: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.ReLU: lambda part, grad, x, out: _aten.threshold_backward.default(grad, out, 0),
    nn.Tanh: lambda part, grad, x, out: _aten.tanh_backward.default(grad, out),
    nn.SiLU: lambda part, grad, x, out: _aten.silu_backward.default(grad, x),
    nn.GELU: lambda part, grad, x, out: _aten.gelu_backward.default(grad, x, approximate=part.approximate),
}
KNOWN = {nn.Linear, nn.Dropout, nn.Identity, BatchedLinear, PackedDropout, *_SLOPES}


class Layer(Protocol):
    """A layer at work."""

    def forward(self, x: Tensor) -> Tensor:
        """What it gives for a batch."""
        ...

    def backward(self, grad: Tensor) -> Tensor:
        """Gradient of what it was given, from that of what it gave."""
        ...


class _Linear:
    def __init__(self, part: nn.Linear, first: bool) -> None:
        self.weight, self.bias, self.first = part.weight, part.bias, first
        self.plain, self.turned = part.weight.detach(), part.weight.detach().t()  # views: they follow the weights

    def forward(self, x: Tensor) -> Tensor:
        self.x = x
        return torch.addmm(self.bias, x, self.turned)

    def backward(self, grad: Tensor) -> Tensor:
        _add_gradient(self.weight, grad.t().mm(self.x))
        _add_gradient(self.bias, grad.sum(0))
        return grad if self.first else grad.mm(self.plain)


class _BatchedLinear:
    def __init__(self, part: BatchedLinear, first: bool) -> None:
        self.weight, self.bias, self.first = part.weight, part.bias, first
        self.plain, self.turned = part.weight.detach(), part.weight.detach().transpose(1, 2)
        self.column = part.bias.detach().unsqueeze(2)

    def forward(self, x: Tensor) -> Tensor:
        self.x = x
        return torch.baddbmm(self.column, self.plain, x)

    def backward(self, grad: Tensor) -> Tensor:
        _add_gradient(self.weight, grad.bmm(self.x.transpose(1, 2)))
        _add_gradient(self.bias, grad.sum(2))
        return grad if self.first else self.turned.bmm(grad)


class _Activation:
    def __init__(self, part: nn.Module) -> None:
        self.part, self.slope = part, _SLOPES[type(part)]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.part.forward(x)
        self.x, self.out = x, out
        return out

    def backward(self, grad: Tensor) -> Tensor:
        return self.slope(self.part, grad, self.x, self.out)


class _Dropout:
    def __init__(self, draw: Callable[[Tensor], Tensor]) -> None:
        self.draw = draw

    def forward(self, x: Tensor) -> Tensor:
        self.scale = self.draw(x)
        return x * self.scale

    def backward(self, grad: Tensor) -> Tensor:
        return grad * self.scale


def working_layers(parts: list[nn.Module]) -> tuple[list[Layer], int]:
    """A layer for each part that does something while training, and the place of the first that has weights."""
    working = [part for part in parts if _works(part)]
    first = next(i for i, part in enumerate(working) if isinstance(part, nn.Linear | BatchedLinear))
    return [_layer(part, i == first) for i, part in enumerate(working)], first


def is_covered(part: nn.Module) -> bool:
    """Whether the part is used in the one way that is written here."""
    if isinstance(part, nn.Linear):
        return part.bias is not None
    return not getattr(part, "inplace", False) and getattr(part, "p", 0.0) < 1.0


def _works(part: nn.Module) -> bool:
    if isinstance(part, nn.Dropout):
        return part.training and part.p > 0
    if isinstance(part, PackedDropout):
        return part.training and part.dropped > 0
    return not isinstance(part, nn.Identity)


def _layer(part: nn.Module, first: bool) -> Layer:
    if isinstance(part, nn.Linear):
        return _Linear(part, first)
    if isinstance(part, BatchedLinear):
        return _BatchedLinear(part, first)
    if isinstance(part, PackedDropout):
        return _Dropout(part.draw)
    return _Dropout(_drawn_as_torch_does(1 - part.p)) if isinstance(part, nn.Dropout) else _Activation(part)


def _drawn_as_torch_does(keep: float) -> Callable[[Tensor], Tensor]:
    """On a CPU: unit by unit."""
    return lambda x: torch.empty_like(x).bernoulli_(keep).div_(keep)


def _add_gradient(weight: Tensor, gradient: Tensor) -> None:
    if weight.grad is None:
        weight.grad = gradient
    else:
        weight.grad.add_(gradient)
