"""Batches in pieces that fit into memory."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from battery_core.errors import TrainingError
from battery_core.training.loop.batches import Batch
from battery_core.training.loop.forward import ForwardPass

logger = logging.getLogger(__name__)


class MicroBatches:
    """Splits a batch once memory has run out; gradients accumulate, so the numbers stay those of the whole batch.

    Args:
        forward: model, loss and precision.
    """

    def __init__(self, forward: ForwardPass) -> None:
        self.forward = forward
        self.rows: int | None = None  # rows that fit into memory, once it has run out

    def is_needed(self, batch: Batch) -> bool:
        """Return whether a batch has more rows than fit."""
        return self.rows is not None and batch.y.shape[-2] > self.rows

    def backward(self, batch: Batch, loss_weight: float) -> Tensor:
        """Add the gradient of the weighted loss, one piece after another; return the loss of the batch."""
        assert self.rows is not None
        dim = batch.y.ndim - 2  # rows come after members
        split = [None if tensor is None else torch.split(tensor, self.rows, dim) for tensor in batch]
        n_pieces = -(-batch.y.shape[dim] // self.rows)
        valid = _valid_targets(batch)
        losses = []
        for i in range(n_pieces):
            piece = Batch._make(None if tensors is None else tensors[i] for tensors in split)
            piece_weight = 1.0 if self.forward.reduction == "sum" else _valid_targets(piece) / max(valid, 1)
            loss = self.forward(piece) * piece_weight
            self.forward.precision.backward(loss.sum() * loss_weight)
            losses.append(loss.detach())
        return torch.stack(losses).sum(dim=0)

    def halve(self, batch_size: int, error: torch.OutOfMemoryError) -> None:
        """Take half the rows at a time from now on.

        Raises:
            TrainingError: one row does not fit.
        """
        rows = min(self.rows or batch_size, batch_size)
        if rows <= 1:
            raise TrainingError(
                "out of memory with one check-up at a time: take a smaller model or device 'cpu'"
            ) from error
        self.rows = (rows + 1) // 2
        logger.warning("out of memory with %d check-ups at a time: going on with %d, accumulated", rows, self.rows)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _valid_targets(batch: Batch) -> int:
    return batch.y.numel() if batch.target_mask is None else int(batch.target_mask.sum())
