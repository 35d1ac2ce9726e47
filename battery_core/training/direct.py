"""Gradients of a plain perceptron without autograd: the same kernels in the same order, so the same bits, sooner.

On a perceptron for SOH autograd and the calls of modules cost more than the numbers. Whatever is not known to be plain
(another layer, a hook, a custom loss, a frozen weight) goes the usual way. The layers are read anew for every epoch
and nothing outlives it, so a callback that changes a share, a weight or a mode between epochs is always heard.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from battery_core.models.mlp import MLPModel
from battery_core.training import losses, physics
from battery_core.training.batches import Batch
from battery_core.training.forward import ForwardPass
from battery_core.training.precision import Precision

_aten = torch.ops.aten
#: Gradient of each activation from that of its output, its input and its output: the kernels autograd calls.
_SLOPES: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.ReLU: lambda part, grad, x, out: _aten.threshold_backward.default(grad, out, 0),
    nn.Tanh: lambda part, grad, x, out: _aten.tanh_backward.default(grad, out),
    nn.SiLU: lambda part, grad, x, out: _aten.silu_backward.default(grad, x),
    nn.GELU: lambda part, grad, x, out: _aten.gelu_backward.default(grad, x, approximate=part.approximate),
}
_KNOWN = {nn.Linear, nn.Dropout, nn.Identity, nn.Sequential, MLPModel, *_SLOPES}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


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
    def __init__(self, part: nn.Dropout) -> None:
        self.keep = 1 - part.p

    def forward(self, x: Tensor) -> Tensor:
        self.scale = torch.empty_like(x).bernoulli_(self.keep).div_(self.keep)  # as torch draws it on a CPU
        return x * self.scale

    def backward(self, grad: Tensor) -> Tensor:
        return grad * self.scale


class DirectPass:
    """Loss and gradients of a batch, layer by layer; see ``of`` for where it is to be had."""

    def __init__(self, forward: ForwardPass, parts: list[nn.Module]) -> None:
        self.forward = forward
        working = [p for p in parts if not isinstance(p, nn.Identity)]
        working = [p for p in working if not isinstance(p, nn.Dropout) or (p.training and p.p > 0)]
        self._first = next(i for i, part in enumerate(working) if isinstance(part, nn.Linear))
        self._layers = [_layer(part, i == self._first) for i, part in enumerate(working)]
        self._one = torch.ones(())
        self._is_mse = type(forward.loss) is losses.MSELoss and forward.reduction == "mean"

    @classmethod
    def of(cls, forward: ForwardPass, batch: Batch) -> DirectPass | None:
        """The direct pass for batches like this one, or None where something is not known to be plain."""
        parts = _flat(forward.model)
        weights = [p for part in parts for p in part.parameters()]
        everything = (*forward.model.modules(), *forward.loss.modules())
        plain = (
            _runs_as_written(forward.precision)
            and forward.n_members == 1
            and type(forward.loss).__module__ in (losses.__name__, physics.__name__)
            and all(type(part) in _KNOWN for part in forward.model.modules())
            and all(_is_plain(part) for part in everything)
            and all(_is_covered(part) for part in parts)
            and 0 < len({id(p) for p in weights}) == len(weights) == len(list(forward.model.parameters()))
            and all(_is_trained(p) for p in weights)
            and batch.x.ndim == 2
            and all(_is_usual(part) for part in (batch.x, batch.y))
        )
        return cls(forward, parts) if plain else None

    @torch.no_grad()
    def backward(self, batch: Batch, share: float) -> Tensor:
        """Add ``share`` of the batch's gradient to the weights' ``grad``; the loss."""
        pred = batch.x
        for layer in self._layers:
            pred = layer.forward(pred)
        if self._is_mse and batch.target_mask is None:
            loss = nn.functional.mse_loss(pred, batch.y)
            grad = _aten.mse_loss_backward.default(self._one if share == 1.0 else self._one * share, pred, batch.y, 1)
        else:
            loss, grad = self._by_autograd(pred, batch, share)
        for layer in self._layers[: self._first : -1]:
            grad = layer.backward(grad)
        self._layers[self._first].backward(grad)
        return loss

    @torch.enable_grad()
    def _by_autograd(self, pred: Tensor, batch: Batch, share: float) -> tuple[Tensor, Tensor]:
        """Loss, and ``share`` of its gradient by the estimate alone."""
        pred = pred.detach().requires_grad_()
        loss = self.forward.loss_of(pred, batch)
        (grad,) = torch.autograd.grad(loss if share == 1.0 else loss * share, pred)
        return loss.detach(), grad


def _runs_as_written(precision: Precision) -> bool:
    """Whether nothing from outside changes what a layer computes or what its gradient is."""
    changed = precision.enabled or torch.is_autocast_enabled("cpu") or torch.is_anomaly_enabled()
    hooked = bool(torch_module._has_any_global_hook())  # type: ignore[no-untyped-call]
    return type(precision) is Precision and torch.is_grad_enabled() and not changed and not hooked


def _layer(part: nn.Module, first: bool) -> _Linear | _Dropout | _Activation:
    if isinstance(part, nn.Linear):
        return _Linear(part, first)
    return _Dropout(part) if isinstance(part, nn.Dropout) else _Activation(part)


def _flat(model: nn.Module) -> list[nn.Module]:
    """Layers in the order of the forward pass."""
    if isinstance(model, MLPModel):
        return _flat(model.layers)
    return [leaf for part in model for leaf in _flat(part)] if isinstance(model, nn.Sequential) else [model]


def _is_plain(part: nn.Module) -> bool:
    """Whether calling it runs its class's forward and nothing else."""
    own = vars(part)
    return "forward" not in own and own.get("_compiled_call_impl") is None and not any(own[h] for h in _HOOKS)


def _is_covered(part: nn.Module) -> bool:
    """Whether the layer is used in the one way that is written here."""
    if isinstance(part, nn.Linear):
        return part.bias is not None
    return not getattr(part, "inplace", False) and getattr(part, "p", 0.0) < 1.0


def _is_trained(weight: nn.Parameter) -> bool:
    hooked = weight._backward_hooks or getattr(weight, "_post_accumulate_grad_hooks", None)
    return type(weight) is nn.Parameter and weight.requires_grad and not hooked and _is_usual(weight)


def _is_usual(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32 and tensor.is_contiguous()


def _add_gradient(weight: Tensor, gradient: Tensor) -> None:
    if weight.grad is None:
        weight.grad = gradient
    else:
        weight.grad.add_(gradient)
