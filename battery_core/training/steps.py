"""One training epoch: forward, backward, clip, step; stops before a step that would spoil the weights."""

from __future__ import annotations

import logging
import math
from statistics import fmean

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from battery_core.errors import TrainingError
from battery_core.training.callbacks import Hooks
from battery_core.training.fast.manual_backward import ManualBackward
from battery_core.training.loop.batches import Batch, ResidentData
from battery_core.training.loop.forward import ForwardPass, weighted_loss
from battery_core.training.optimizer import FusedAdamW, clip_members, fused_clip
from battery_core.training.settings import TrainerSettings

logger = logging.getLogger(__name__)


class NonFiniteLossError(TrainingError):
    """A loss or gradient is NaN or infinite in this batch of the epoch; the weights are those before it."""

    def __init__(self, batch: int, what: str) -> None:
        super().__init__(f"{what} is not finite in batch {batch}")
        self.batch, self.what = batch, what


class HostGuard:
    """Looks at each number as it comes: free on a CPU, where nothing runs ahead of the host."""

    def __init__(self, optimizer: torch.optim.Optimizer, scales: bool) -> None:
        self._scales = scales

    def start(self, device: torch.device) -> None:
        """A new epoch."""

    def before_step(self, first: int, losses: list[Tensor], norm: Tensor | None) -> None:
        """Raise before the optimizer step if anything is not finite; ``first`` is the group's first batch."""
        for offset, loss in enumerate(losses):
            if not math.isfinite(_number(loss)):
                raise NonFiniteLossError(first + offset, "loss")
        if norm is not None and not self._scales and not math.isfinite(_number(norm)):
            raise NonFiniteLossError(first, "gradient")

    def end(self, values: Tensor, accumulate: int, first: int) -> None:
        """The epoch is over."""


class DeviceGuard:
    """Lets the device skip every step after the first non-finite one, and asks it once an epoch.

    The fused optimizer does nothing where its ``found_inf`` is 1: the host never waits inside an epoch, and still no
    step is taken on a non-finite loss or gradient.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, scales: bool) -> None:
        self._optimizer, self._scales = optimizer, scales

    def start(self, device: torch.device) -> None:
        """A new epoch: nothing is bad yet."""
        self._bad = torch.zeros((), device=device)
        self._good_steps = torch.zeros((), device=device)

    def before_step(self, first: int, losses: list[Tensor], norm: Tensor | None) -> None:
        """Mark the step as bad on the device; a scaler skips its bad steps by itself."""
        seen = [*losses, norm] if norm is not None and not self._scales else losses
        for value in seen:
            self._bad = torch.maximum(self._bad, (~torch.isfinite(value.detach())).any().to(self._bad.dtype))
        self._good_steps += 1 - self._bad
        if not self._scales:
            self._optimizer.found_inf = self._bad  # type: ignore[attr-defined]

    def end(self, values: Tensor, accumulate: int, first: int) -> None:
        """Raise if a step was bad; ``first`` is the number of the first batch of ``values``."""
        if not self._scales:
            del self._optimizer.found_inf  # type: ignore[attr-defined]
        if self._bad.item():
            start = int(self._good_steps.item()) * accumulate
            bad = torch.nonzero(
                ~torch.isfinite(values[start : start + accumulate]).reshape(-1, values[0].numel()).all(dim=1)
            )
            raise NonFiniteLossError(
                first + start + (int(bad[0]) if len(bad) else 0), "loss" if len(bad) else "gradient"
            )


class StepRunner:
    """The eager training loop over resident data.

    Args:
        forward: model, loss and precision.
        optimizer: fused AdamW.
        settings: batch size, accumulation and clip.
        hooks: callbacks.
    """

    def __init__(
        self, forward: ForwardPass, optimizer: torch.optim.Optimizer, settings: TrainerSettings, hooks: Hooks
    ) -> None:
        self.forward, self.optimizer, self.settings, self.hooks = forward, optimizer, settings, hooks
        self.precision = forward.precision
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        guard = HostGuard if self.parameters[0].device.type == "cpu" else DeviceGuard
        self.guard: HostGuard | DeviceGuard = guard(optimizer, self.precision.scales)
        self._one_kind = len({(p.device, p.dtype) for p in self.parameters}) == 1
        self._direct: ManualBackward | None = None  # gradients without autograd, where they are to be had
        self.micro_batch: int | None = None  # rows that fit into memory, once it has run out

    def train_epoch(self, data: ResidentData, order: Tensor, epoch: int) -> float:
        """One pass over the data in this order; the mean training loss over valid targets, and over members.

        Raises:
            NonFiniteLossError: before the step that would have used it.
        """
        size = self.settings.batch_size
        counts = data.valid_counts(size, order)
        self.forward.model.train()
        values = self._run(list(data.batches(size, order)), counts, 0, epoch)
        return fmean(weighted_loss(values, counts, self.forward.reduction))

    def _run(self, batches: list[Batch], counts: list[int], first: int, epoch: int) -> Tensor:
        """Steps over these batches, the first of which is number ``first`` of the epoch; the loss of each."""
        accumulate, losses = self.settings.accumulate, list[Tensor]()
        if isinstance(self.optimizer, FusedAdamW):
            self.optimizer.prepare()
        watched = self.hooks.batch_start or self.hooks.batch_end  # who looks at batches may change the model there
        self._direct = (
            None if watched or not self.settings.manual_backward else ManualBackward.of(self.forward, batches[0])
        )
        self.guard.start(batches[0].y.device)
        for start in range(0, len(batches), accumulate):
            group = slice(start, start + accumulate)
            losses += self._step(batches[group], counts[group], first + start, epoch)
        values = torch.stack(losses)
        self.guard.end(values, accumulate, first)
        return values

    def _step(self, group: list[Batch], counts: list[int], first: int, epoch: int) -> list[Tensor]:
        """One optimizer step over a group of batches; their losses."""
        while True:
            try:
                losses = self._gradients(group, counts, first, epoch)
                break
            except torch.OutOfMemoryError as err:
                self._halve(group[0].y.shape[-2], err)
        self.precision.unscale(self.optimizer)
        norm = self._clip()
        self.guard.before_step(first, losses, norm)
        self.precision.step(self.optimizer)
        return losses

    def _clip(self) -> Tensor | None:
        """Scale the gradient down where its global norm is too large; the norm before, of each member."""
        clip = self.settings.gradient_clip
        if clip is None:
            return None
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        host_may_look = not isinstance(self.guard, DeviceGuard)
        if self.forward.n_members > 1:
            return clip_members(gradients, clip, host_may_look)
        if not self._one_kind:
            return clip_grad_norm_(self.parameters, clip)
        return fused_clip(gradients, clip, host_may_look)

    def _gradients(self, group: list[Batch], counts: list[int], first: int, epoch: int) -> list[Tensor]:
        """Sum of the group's gradients, each batch weighed by its valid targets."""
        for parameter in self.parameters:
            parameter.grad = None
        total = sum(counts)
        losses = []
        for offset, (batch, count) in enumerate(zip(group, counts, strict=True)):
            for hook in self.hooks.batch_start:
                hook(epoch, first + offset)
            share = 1.0 if self.forward.reduction == "sum" else count / max(total, 1)
            loss = self._backward(batch, share)
            losses.append(loss)
            for hook in self.hooks.batch_end:
                hook(epoch, first + offset, loss)
        return losses

    def _backward(self, batch: Batch, share: float) -> Tensor:
        if self.micro_batch is not None and batch.y.shape[-2] > self.micro_batch:
            return self._backward_in_parts(batch, share)
        if self._direct is not None:
            return self._direct.backward(batch, share)
        loss = self.forward(batch)
        total = loss if loss.ndim == 0 else loss.sum()  # members share no weight: the sum's gradient is each one's own
        self.precision.backward(total if share == 1.0 else total * share)
        return loss.detach()

    def _backward_in_parts(self, batch: Batch, share: float) -> Tensor:
        """The same gradient in pieces that fit into memory."""
        assert self.micro_batch is not None
        dim = batch.y.ndim - 2  # rows come after members
        pieces = [None if part is None else torch.split(part, self.micro_batch, dim) for part in batch]
        n_pieces = -(-batch.y.shape[dim] // self.micro_batch)
        valid = batch.y.numel() if batch.target_mask is None else int(batch.target_mask.sum())
        losses = []
        for i in range(n_pieces):
            piece = Batch._make(None if part is None else part[i] for part in pieces)
            count = piece.y.numel() if piece.target_mask is None else int(piece.target_mask.sum())
            weight = 1.0 if self.forward.reduction == "sum" else count / max(valid, 1)
            loss = self.forward(piece) * weight
            self.precision.backward(loss.sum() * share)
            losses.append(loss.detach())
        return torch.stack(losses).sum(dim=0)

    def _halve(self, batch_size: int, err: torch.OutOfMemoryError) -> None:
        """Half the rows at a time from now on; gradients accumulate, so the numbers stay those of the whole batch."""
        rows = min(self.micro_batch or batch_size, batch_size)
        if rows <= 1:
            raise TrainingError(
                "out of memory with one check-up at a time: take a smaller model or device 'cpu'"
            ) from err
        self.micro_batch = (rows + 1) // 2
        logger.warning(
            "out of memory with %d check-ups at a time: going on with %d, accumulated", rows, self.micro_batch
        )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _number(value: Tensor) -> float:
    """A loss or norm as a number that is finite if it is, of every member."""
    return float((value if value.ndim == 0 else value.sum()).item())
