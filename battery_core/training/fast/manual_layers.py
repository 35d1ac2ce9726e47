"""Layers of a plain perceptron with their gradients written out: the kernels that autograd calls, in its order.

A layer is made from a module for one epoch. It stores what the gradient of a batch needs, and adds the gradients of
its weights to their ``grad``. Layers of a batched ensemble have one more dimension in front: (K, units, B).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from battery_core.models.nn.batched_mlp import BatchedLinear, PackedDropout

_aten = torch.ops.aten
#: Gradient by the input of each activation, from module, gradient by the output, input and output.
_ACTIVATION_GRADIENTS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.ReLU: lambda module, grad, x, out: _aten.threshold_backward.default(grad, out, 0),
    nn.Tanh: lambda module, grad, x, out: _aten.tanh_backward.default(grad, out),
    nn.SiLU: lambda module, grad, x, out: _aten.silu_backward.default(grad, x),
    nn.GELU: lambda module, grad, x, out: _aten.gelu_backward.default(grad, x, approximate=module.approximate),
}
LAYER_TYPES = {nn.Linear, nn.Dropout, nn.Identity, BatchedLinear, PackedDropout, *_ACTIVATION_GRADIENTS}


class Layer(Protocol):
    """A layer with a manual gradient."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for a batch."""
        ...

    def backward(self, grad: Tensor) -> Tensor:
        """Return the gradient by the input, from the gradient by the output."""
        ...


class _Linear:
    def __init__(self, module: nn.Linear, is_first: bool) -> None:
        self.weight, self.bias, self.is_first = module.weight, module.bias, is_first
        self.detached, self.transposed = (
            module.weight.detach(),
            module.weight.detach().t(),
        )  # views of weights

    def forward(self, x: Tensor) -> Tensor:
        self.x = x
        return torch.addmm(self.bias, x, self.transposed)

    def backward(self, grad: Tensor) -> Tensor:
        _add_gradient(self.weight, grad.t().mm(self.x))
        _add_gradient(self.bias, grad.sum(0))
        return grad if self.is_first else grad.mm(self.detached)


class _BatchedLinear:
    def __init__(self, module: BatchedLinear, is_first: bool) -> None:
        self.weight, self.bias, self.is_first = module.weight, module.bias, is_first
        self.detached, self.transposed = module.weight.detach(), module.weight.detach().transpose(1, 2)
        self.column = module.bias.detach().unsqueeze(2)

    def forward(self, x: Tensor) -> Tensor:
        self.x = x
        return torch.baddbmm(self.column, self.detached, x)

    def backward(self, grad: Tensor) -> Tensor:
        _add_gradient(self.weight, grad.bmm(self.x.transpose(1, 2)))
        _add_gradient(self.bias, grad.sum(2))
        return grad if self.is_first else self.transposed.bmm(grad)


class _Activation:
    def __init__(self, module: nn.Module) -> None:
        self.module, self.gradient = module, _ACTIVATION_GRADIENTS[type(module)]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.module.forward(x)
        self.x, self.out = x, out
        return out

    def backward(self, grad: Tensor) -> Tensor:
        return self.gradient(self.module, grad, self.x, self.out)


class _Dropout:
    def __init__(self, draw: Callable[[Tensor], Tensor]) -> None:
        self.draw = draw

    def forward(self, x: Tensor) -> Tensor:
        self.scale = self.draw(x)
        return x * self.scale

    def backward(self, grad: Tensor) -> Tensor:
        return grad * self.scale


def active_layers(modules: list[nn.Module]) -> tuple[list[Layer], int]:
    """Return a layer for each module that changes its input while training, and the index of the first with weights."""
    active = [module for module in modules if _is_active(module)]
    first = next(i for i, module in enumerate(active) if isinstance(module, nn.Linear | BatchedLinear))
    return [_layer(module, i == first) for i, module in enumerate(active)], first


def is_covered(module: nn.Module) -> bool:
    """Return whether the settings of the module are those that are written here."""
    if isinstance(module, nn.Linear):
        return module.bias is not None
    return not getattr(module, "inplace", False) and getattr(module, "p", 0.0) < 1.0


def dropout_scale(x: Tensor, keep_probability: float) -> Tensor:
    """Draw the factors of ``nn.Dropout`` on a CPU: 0, or the inverse of the probability that a unit is kept."""
    return torch.empty_like(x).bernoulli_(keep_probability).div_(keep_probability)


def _is_active(module: nn.Module) -> bool:
    if isinstance(module, nn.Dropout):
        return module.training and module.p > 0
    if isinstance(module, PackedDropout):
        return module.training and module.dropped > 0
    return not isinstance(module, nn.Identity)


def _layer(module: nn.Module, is_first: bool) -> Layer:
    if isinstance(module, nn.Linear):
        return _Linear(module, is_first)
    if isinstance(module, BatchedLinear):
        return _BatchedLinear(module, is_first)
    if isinstance(module, PackedDropout):
        return _Dropout(module.draw)
    if isinstance(module, nn.Dropout):
        return _Dropout(partial(dropout_scale, keep_probability=1 - module.p))
    return _Activation(module)


def _add_gradient(weight: Tensor, gradient: Tensor) -> None:
    if weight.grad is None:
        weight.grad = gradient
    else:
        weight.grad.add_(gradient)
