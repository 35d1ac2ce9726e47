"""The fast path of the default backend: fewer calls for a step, with the bits of ``EagerBackend``."""

from __future__ import annotations

import torch
from torch import Tensor

from battery_core.training.callbacks import Hooks
from battery_core.training.fast.device_guard import DeviceGuard
from battery_core.training.fast.fused_adamw import FusedAdamWStep, fused_clip
from battery_core.training.fast.manual_backward import ManualBackward
from battery_core.training.loop.batches import Batch
from battery_core.training.loop.eager import EagerBackend
from battery_core.training.loop.forward import ForwardPass
from battery_core.training.optimizer import clip_members
from battery_core.training.settings import TrainerSettings


class FusedBackend(EagerBackend):
    """Clips and steps through fused kernels; on the CPU a plain perceptron has its gradients without autograd.

    On a GPU the host reads nothing inside an epoch: ``DeviceGuard`` checks losses and gradients there.
    """

    def __init__(
        self, forward: ForwardPass, optimizer: torch.optim.Optimizer, settings: TrainerSettings, hooks: Hooks
    ) -> None:
        super().__init__(forward, optimizer, settings, hooks)
        self._optimizer_step = FusedAdamWStep(optimizer)
        self._is_one_kind = len({(p.device, p.dtype) for p in self.parameters}) == 1
        self._manual: ManualBackward | None = None
        self._guard: DeviceGuard | None = None
        # a callback on batches may change the model there
        self._may_be_manual = not (hooks.batch_start or hooks.batch_end)

    def run_steps(self, batches: list[Batch], counts: list[int], first: int, epoch: int) -> Tensor:
        """Train on these batches; the layers are read again, since callbacks may have changed them."""
        self._optimizer_step.prepare()
        self._manual = ManualBackward.of(self.forward, batches[0]) if self._may_be_manual else None
        device = batches[0].y.device
        self._guard = DeviceGuard(self.optimizer, self.precision.scales, device) if runs_ahead(device) else None
        losses = super().run_steps(batches, counts, first, epoch)
        if self._guard is not None:
            self._guard.finish(losses, self.settings.accumulate, first)
        return losses

    def backward(self, batch: Batch, loss_weight: float) -> Tensor:
        """Add the gradient, without autograd where the model is covered."""
        if self._manual is not None:
            return self._manual.backward(batch, loss_weight)
        return super().backward(batch, loss_weight)

    def clip(self) -> Tensor | None:
        """Clip through fused kernels; the host does not read the norm on a device that runs ahead."""
        limit = self.settings.gradient_clip
        if limit is None or not (self._is_one_kind or self.forward.n_members > 1):
            return super().clip()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        clip = clip_members if self.forward.n_members > 1 else fused_clip
        return clip(gradients, limit, self._guard is None)

    def check_finite(self, first: int, losses: list[Tensor], norm: Tensor | None) -> None:
        """Check on the host or on the device."""
        if self._guard is None:
            super().check_finite(first, losses, norm)
        else:
            self._guard.before_step(losses, norm)

    def update_weights(self) -> None:
        """Take the optimizer step; a scaler calls the optimizer itself."""
        if self.precision.scales:
            super().update_weights()
        else:
            self._optimizer_step.step()


def runs_ahead(device: torch.device) -> bool:
    """Return whether the device works while the host goes on, so that reading a number makes the host wait."""
    return device.type != "cpu"
