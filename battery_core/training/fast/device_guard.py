"""Check of losses and gradients on a device that the host does not wait for."""

from __future__ import annotations

import torch
from torch import Tensor

from battery_core.training.loop.backend import NonFiniteLossError


class DeviceGuard:
    """Lets the device skip every step after the first non-finite one; the host reads the result once an epoch.

    The fused optimizer changes nothing where its ``found_inf`` is 1: the host never waits inside an epoch, and still
    no step is taken on a non-finite loss or gradient.

    Args:
        optimizer: fused AdamW.
        scales: whether a scaler skips the steps with a non-finite gradient by itself.
        device: where losses are.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, scales: bool, device: torch.device) -> None:
        self._optimizer, self._scales = optimizer, scales
        self._bad = torch.zeros((), device=device)
        self._good_steps = torch.zeros((), device=device)

    def before_step(self, losses: list[Tensor], norm: Tensor | None) -> None:
        """Mark the step as bad on the device if a loss or the norm is not finite."""
        checked = [*losses, norm] if norm is not None and not self._scales else losses
        for value in checked:
            self._bad = torch.maximum(self._bad, (~torch.isfinite(value.detach())).any().to(self._bad.dtype))
        self._good_steps += 1 - self._bad
        if not self._scales:
            self._optimizer.found_inf = self._bad  # type: ignore[attr-defined]

    def finish(self, losses: Tensor, accumulate: int, first: int) -> None:
        """Raise ``NonFiniteLossError`` if a step was bad; ``first`` is the number of the first batch of ``losses``."""
        if not self._scales:
            del self._optimizer.found_inf  # type: ignore[attr-defined]
        if self._bad.item():
            start = int(self._good_steps.item()) * accumulate
            bad = torch.nonzero(
                ~torch.isfinite(losses[start : start + accumulate]).reshape(-1, losses[0].numel()).all(dim=1)
            )
            raise NonFiniteLossError(
                first + start + (int(bad[0]) if len(bad) else 0), "loss" if len(bad) else "gradient"
            )
