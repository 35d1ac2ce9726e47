"""The reference path: forward, backward, clip and step of each batch, with public functions of torch only."""

from __future__ import annotations

import math
from statistics import fmean

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from battery_core.training.callbacks import Hooks
from battery_core.training.loop.backend import NonFiniteLossError
from battery_core.training.loop.batches import Batch, ResidentData
from battery_core.training.loop.forward import ForwardPass, weighted_loss
from battery_core.training.loop.micro_batches import MicroBatches
from battery_core.training.optimizer import clip_members
from battery_core.training.settings import TrainerSettings


class EagerBackend:
    """Runs one optimizer step after another, with gradients by autograd.

    Other backends give its numbers in less time, and override a step's parts (``backward``, ``clip``, ...).

    Args:
        forward: model, loss and precision.
        optimizer: optimizer of the model's weights.
        settings: batch size, accumulation and clip.
        hooks: callbacks.
    """

    def __init__(
        self, forward: ForwardPass, optimizer: torch.optim.Optimizer, settings: TrainerSettings, hooks: Hooks
    ) -> None:
        self.forward, self.optimizer, self.settings, self.hooks = forward, optimizer, settings, hooks
        self.precision = forward.precision
        self.parameters: list[Tensor] = [p for group in optimizer.param_groups for p in group["params"]]
        self.micro_batches = MicroBatches(forward)

    def train_epoch(self, data: ResidentData, order: Tensor, epoch: int) -> float:
        """Train on all rows once; see ``StepBackend.train_epoch``."""
        size = self.settings.batch_size
        counts = data.valid_counts(size, order)
        self.forward.model.train()
        losses = self.run_steps(list(data.batches(size, order)), counts, 0, epoch)
        return fmean(weighted_loss(losses, counts, self.forward.reduction))

    def run_steps(self, batches: list[Batch], counts: list[int], first: int, epoch: int) -> Tensor:
        """Train on these batches, the first of which is number ``first`` of the epoch; return the loss of each."""
        accumulate, losses = self.settings.accumulate, list[Tensor]()
        for start in range(0, len(batches), accumulate):
            group = slice(start, start + accumulate)
            losses += self._step(batches[group], counts[group], first + start, epoch)
        return torch.stack(losses)

    def _step(self, group: list[Batch], counts: list[int], first: int, epoch: int) -> list[Tensor]:
        """Take one optimizer step over a group of batches; return their losses."""
        while True:
            try:
                losses = self._gradients(group, counts, first, epoch)
                break
            except torch.OutOfMemoryError as err:
                self.micro_batches.halve(group[0].y.shape[-2], err)
        self.precision.unscale(self.optimizer)
        norm = self.clip()
        self.check_finite(first, losses, norm)
        self.update_weights()
        return losses

    def _gradients(self, group: list[Batch], counts: list[int], first: int, epoch: int) -> list[Tensor]:
        """Sum the gradients of a group, each batch weighted by its valid targets; return the losses."""
        for parameter in self.parameters:
            parameter.grad = None
        total = sum(counts)
        losses = []
        for offset, (batch, count) in enumerate(zip(group, counts, strict=True)):
            for hook in self.hooks.batch_start:
                hook(epoch, first + offset)
            loss_weight = 1.0 if self.forward.reduction == "sum" else count / max(total, 1)
            if self.micro_batches.is_needed(batch):
                loss = self.micro_batches.backward(batch, loss_weight)
            else:
                loss = self.backward(batch, loss_weight)
            losses.append(loss)
            for hook in self.hooks.batch_end:
                hook(epoch, first + offset, loss)
        return losses

    def backward(self, batch: Batch, loss_weight: float) -> Tensor:
        """Add the gradient of the weighted loss to the weights' ``grad``; return the loss, of each member if any."""
        loss = self.forward(batch)
        total = loss if loss.ndim == 0 else loss.sum()  # members share no weight: the sum's gradient is each one's own
        self.precision.backward(total if loss_weight == 1.0 else total * loss_weight)
        return loss.detach()

    def clip(self) -> Tensor | None:
        """Scale the gradient down where its global norm is too large; return the norm before, of each member."""
        limit = self.settings.gradient_clip
        if limit is None:
            return None
        if self.forward.n_members > 1:
            return clip_members([p.grad for p in self.parameters if p.grad is not None], limit)
        return clip_grad_norm_(self.parameters, limit)

    def check_finite(self, first: int, losses: list[Tensor], norm: Tensor | None) -> None:
        """Raise ``NonFiniteLossError`` if a loss or the norm is not finite; ``first`` is the group's first batch."""
        for offset, loss in enumerate(losses):
            if not _is_finite(loss):
                raise NonFiniteLossError(first + offset, "loss")
        # a scaler skips steps with a non-finite gradient by itself
        if norm is not None and not self.precision.scales and not _is_finite(norm):
            raise NonFiniteLossError(first, "gradient")

    def update_weights(self) -> None:
        """Take the optimizer step."""
        self.precision.step(self.optimizer)


def _is_finite(value: Tensor) -> bool:
    """Return whether a loss or norm is finite, of every member."""
    return math.isfinite((value if value.ndim == 0 else value.sum()).item())
