"""The contract of what runs the optimizer steps of an epoch."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from battery_core.errors import TrainingError
from battery_core.training.loop.batches import ResidentData
from battery_core.training.loop.forward import ForwardPass


class NonFiniteLossError(TrainingError):
    """A loss or gradient is NaN or infinite in this batch of the epoch; the weights are those before its step.

    Args:
        batch: number of the batch in the epoch, from 0.
        quantity: ``loss`` or ``gradient``.
    """

    def __init__(self, batch: int, quantity: str) -> None:
        super().__init__(f"{quantity} is not finite in batch {batch}")
        self.batch, self.quantity = batch, quantity


class StepBackend(Protocol):
    """Runs the optimizer steps of an epoch: ``EagerBackend``, ``FusedBackend`` or ``CompiledBackend``."""

    forward: ForwardPass

    def train_epoch(self, data: ResidentData, order: Tensor, epoch: int) -> float:
        """Train on all rows once, in this order; return the mean loss over valid targets, and over members.

        Raises:
            NonFiniteLossError: before the step that would have used the loss or gradient.
        """
        ...
