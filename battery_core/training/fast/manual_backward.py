"""Gradients of a plain perceptron without autograd: the same kernels in the same order, so the same bits, sooner.

On a perceptron for SOH autograd and the calls of modules cost more than the numbers. Whatever is not known to be plain
(another layer, a hook, a custom loss, a frozen weight) goes the usual way. The layers are read anew for every epoch
and nothing outlives it, so a callback that changes a share, a weight or a mode between epochs is always heard.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from battery_core.models.mlp import MLPModel
from battery_core.models.nn.batched_mlp import BatchedMLP
from battery_core.training.fast.manual_layers import KNOWN, is_covered, working_layers
from battery_core.training.loop.batches import Batch
from battery_core.training.loop.forward import ForwardPass
from battery_core.training.losses import basic as losses
from battery_core.training.losses import physics
from battery_core.training.precision import Precision

_aten = torch.ops.aten
_KNOWN = {nn.Sequential, MLPModel, BatchedMLP, *KNOWN}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class ManualBackward:
    """Loss and gradients of a batch, layer by layer; see ``of`` for where it is to be had."""

    def __init__(self, forward: ForwardPass, parts: list[nn.Module]) -> None:
        self.forward = forward
        self._layers, first = working_layers(parts)
        self._back = self._layers[first:][::-1]  # nothing is learnt before the first linear layer
        self._members = forward.n_members > 1
        self._one = torch.ones(())
        self._is_mse = type(forward.loss) is losses.MSELoss and forward.reduction == "mean"

    @classmethod
    def of(cls, forward: ForwardPass, batch: Batch) -> ManualBackward | None:
        """The direct pass for batches like this one, or None where something is not known to be plain."""
        members = forward.n_members > 1
        parts = _flat(forward.model)
        weights = [p for part in parts for p in part.parameters()]
        everything = (*forward.model.modules(), *forward.loss.modules())
        plain = (
            _runs_as_written(forward.precision)
            and type(forward.loss).__module__ in (losses.__name__, physics.__name__)
            and all(type(part) in _KNOWN for part in forward.model.modules())
            and all(_is_plain(part) for part in everything)
            and all(is_covered(part) for part in parts)
            and 0 < len({id(p) for p in weights}) == len(weights) == len(list(forward.model.parameters()))
            and all(_is_trained(p) for p in weights)
            and batch.x.ndim == (3 if members else 2)
            and all(_is_usual(part[0] if members else part) for part in (batch.x, batch.y))
        )
        return cls(forward, parts) if plain else None

    @torch.no_grad()
    def backward(self, batch: Batch, share: float) -> Tensor:
        """Add ``share`` of the batch's gradient to the weights' ``grad``; the loss, of each member if there are any."""
        x = batch.x.transpose(1, 2) if self._members else batch.x  # as StackedMLP has it: (K, B, F) -> (K, F, B)
        for layer in self._layers:
            x = layer.forward(x)
        loss, grad = self._loss(x.transpose(1, 2) if self._members else x, batch, share)
        grad = grad.transpose(1, 2) if self._members else grad
        for layer in self._back:
            grad = layer.backward(grad)
        return loss

    def _loss(self, pred: Tensor, batch: Batch, share: float) -> tuple[Tensor, Tensor]:
        """Loss, and ``share`` of its gradient by the estimate alone."""
        if not self._is_mse or batch.target_mask is not None:
            return self._by_autograd(pred, batch, share)
        given = self._one if share == 1.0 else self._one * share
        if not self._members:
            return nn.functional.mse_loss(pred, batch.y), _aten.mse_loss_backward.default(given, pred, batch.y, 1)
        difference = pred - batch.y  # (K, B, D)
        loss = difference.square().mean(dim=(1, 2))
        grad = torch.empty(difference.shape)  # laid out row by row as by autograd: products round by layout
        return loss, torch.mul(difference, 2 * given / difference[0].numel(), out=grad)

    @torch.enable_grad()
    def _by_autograd(self, pred: Tensor, batch: Batch, share: float) -> tuple[Tensor, Tensor]:
        pred = pred.detach().requires_grad_()
        loss = self.forward.loss_of(pred, batch)
        total = loss.sum() if self._members else loss
        (grad,) = torch.autograd.grad(total if share == 1.0 else total * share, pred)
        return loss.detach(), grad


def _runs_as_written(precision: Precision) -> bool:
    """Whether nothing from outside changes what a layer computes or what its gradient is."""
    changed = precision.enabled or torch.is_autocast_enabled("cpu") or torch.is_anomaly_enabled()
    hooked = bool(torch_module._has_any_global_hook())  # type: ignore[no-untyped-call]
    return type(precision) is Precision and torch.is_grad_enabled() and not changed and not hooked


def _flat(model: nn.Module) -> list[nn.Module]:
    """Layers in the order of the forward pass."""
    if isinstance(model, MLPModel | BatchedMLP):
        return _flat(model.layers)
    return [leaf for part in model for leaf in _flat(part)] if isinstance(model, nn.Sequential) else [model]


def _is_plain(part: nn.Module) -> bool:
    """Whether calling it runs its class's forward and nothing else."""
    own = vars(part)
    return "forward" not in own and own.get("_compiled_call_impl") is None and not any(own[h] for h in _HOOKS)


def _is_trained(weight: nn.Parameter) -> bool:
    hooked = weight._backward_hooks or getattr(weight, "_post_accumulate_grad_hooks", None)
    return type(weight) is nn.Parameter and weight.requires_grad and not hooked and _is_usual(weight)


def _is_usual(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32 and tensor.is_contiguous()
