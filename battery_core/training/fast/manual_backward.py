"""Gradients of a plain perceptron without autograd: the same kernels in the same order give the same bits.

On a small perceptron autograd and the calls of modules take more time than the arithmetic. Anything else (another
layer, a hook, a custom loss, a frozen weight) goes through autograd. The layers are read again for every epoch, so
that a callback may change dropout, weights or the mode between epochs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from battery_core.models.mlp import MLPModel
from battery_core.models.nn.batched_mlp import BatchedMLP
from battery_core.training.fast.manual_layers import LAYER_TYPES, active_layers, is_covered
from battery_core.training.loop.batches import Batch
from battery_core.training.loop.forward import ForwardPass
from battery_core.training.losses import basic as losses
from battery_core.training.losses import physics
from battery_core.training.precision import Precision

_aten = torch.ops.aten
_MODULE_TYPES = {nn.Sequential, MLPModel, BatchedMLP, *LAYER_TYPES}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class ManualBackward:
    """Computes loss and gradients of a batch layer by layer; ``of`` returns None where a model is not covered."""

    def __init__(self, forward: ForwardPass, modules: list[nn.Module]) -> None:
        self.forward = forward
        self._layers, first = active_layers(modules)
        self._back = self._layers[first:][::-1]  # no gradient is needed before the first linear layer
        self._members = forward.n_members > 1
        self._one = torch.ones(())
        self._is_mse = type(forward.loss) is losses.MSELoss and forward.reduction == "mean"

    @classmethod
    def of(cls, forward: ForwardPass, batch: Batch) -> ManualBackward | None:
        """Return the manual pass for batches like this one, or None where the model is not covered."""
        members = forward.n_members > 1
        leaves = _leaves(forward.model)
        weights = [p for leaf in leaves for p in leaf.parameters()]
        everything = (*forward.model.modules(), *forward.loss.modules())
        is_plain = (
            _is_unchanged(forward.precision)
            and type(forward.loss).__module__ in (losses.__name__, physics.__name__)
            and all(type(module) in _MODULE_TYPES for module in forward.model.modules())
            and all(_is_plain(module) for module in everything)
            and all(is_covered(leaf) for leaf in leaves)
            and 0 < len({id(p) for p in weights}) == len(weights) == len(list(forward.model.parameters()))
            and all(_is_trained(p) for p in weights)
            and batch.x.ndim == (3 if members else 2)
            and all(_is_usual(rows[0] if members else rows) for rows in (batch.x, batch.y))
        )
        return cls(forward, leaves) if is_plain else None

    @torch.no_grad()
    def backward(self, batch: Batch, loss_weight: float) -> Tensor:
        """Add the gradient of the weighted loss to the weights' ``grad``; return the loss, of each member if any."""
        x = batch.x.transpose(1, 2) if self._members else batch.x  # as in BatchedMLP: (K, B, F) -> (K, F, B)
        for layer in self._layers:
            x = layer.forward(x)
        loss, grad = self._loss(x.transpose(1, 2) if self._members else x, batch, loss_weight)
        grad = grad.transpose(1, 2) if self._members else grad
        for layer in self._back:
            grad = layer.backward(grad)
        return loss

    def _loss(self, pred: Tensor, batch: Batch, loss_weight: float) -> tuple[Tensor, Tensor]:
        """Return the loss, and the gradient of the weighted loss by the estimate."""
        if not self._is_mse or batch.target_mask is not None:
            return self._by_autograd(pred, batch, loss_weight)
        upstream = self._one if loss_weight == 1.0 else self._one * loss_weight
        if not self._members:
            return nn.functional.mse_loss(pred, batch.y), _aten.mse_loss_backward.default(upstream, pred, batch.y, 1)
        difference = pred - batch.y  # (K, B, D)
        loss = difference.square().mean(dim=(1, 2))
        grad = torch.empty(difference.shape)  # laid out row by row as by autograd: products round by layout
        return loss, torch.mul(difference, 2 * upstream / difference[0].numel(), out=grad)

    @torch.enable_grad()
    def _by_autograd(self, pred: Tensor, batch: Batch, loss_weight: float) -> tuple[Tensor, Tensor]:
        pred = pred.detach().requires_grad_()
        loss = self.forward.loss_of(pred, batch)
        total = loss.sum() if self._members else loss
        (grad,) = torch.autograd.grad(total if loss_weight == 1.0 else total * loss_weight, pred)
        return loss.detach(), grad


def _is_unchanged(precision: Precision) -> bool:
    """Return whether no global state of torch changes what a layer or its gradient computes."""
    changed = precision.enabled or torch.is_autocast_enabled("cpu") or torch.is_anomaly_enabled()
    is_hooked = bool(torch_module._has_any_global_hook())  # type: ignore[no-untyped-call]
    return type(precision) is Precision and torch.is_grad_enabled() and not changed and not is_hooked


def _leaves(model: nn.Module) -> list[nn.Module]:
    """Return the layers in the order of the forward pass."""
    if isinstance(model, MLPModel | BatchedMLP):
        return _leaves(model.layers)
    return [leaf for module in model for leaf in _leaves(module)] if isinstance(model, nn.Sequential) else [model]


def _is_plain(module: nn.Module) -> bool:
    """Return whether calling the module runs the ``forward`` of its class and nothing else."""
    values = vars(module)
    return "forward" not in values and values.get("_compiled_call_impl") is None and not any(values[h] for h in _HOOKS)


def _is_trained(weight: nn.Parameter) -> bool:
    is_hooked = weight._backward_hooks or getattr(weight, "_post_accumulate_grad_hooks", None)
    return type(weight) is nn.Parameter and weight.requires_grad and not is_hooked and _is_usual(weight)


def _is_usual(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32 and tensor.is_contiguous()
