"""Forward pass: the inputs that model and loss take of a batch, read once from their signatures."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from battery_core.errors import TrainingError
from battery_core.training.loop.batches import Batch, ResidentData
from battery_core.training.losses import basic as losses
from battery_core.training.precision import Precision


class ForwardPass:
    """Computes estimate and loss of a batch.

    Args:
        model: ``forward(x)``, and ``mask`` and ``t`` if it names them.
        loss: ``forward(pred, target)``, and ``t``, ``mask``, ``segment`` if it names them.
        precision: number format of the model's forward pass; the loss is always float32.
    """

    def __init__(self, model: nn.Module, loss: nn.Module, precision: Precision) -> None:
        self.model, self.loss, self.precision = model, loss, precision
        self._model_inputs = [name for name in ("mask", "t") if name in _parameters(model.forward)]
        self._loss_inputs = _parameters(loss.forward)
        self.along_cells = bool(getattr(loss, "along_cells", False))
        self.with_time = "t" in self._loss_inputs and (self.along_cells or type(loss).__module__ != losses.__name__)
        self.n_members = int(getattr(model, "n_members", 1))
        self.reduction = str(getattr(loss, "reduction", "mean"))
        if self.reduction == "none":
            raise TrainingError("loss reduction 'none' gives no single number to minimise: expected 'mean' or 'sum'")

    def check(self, data: ResidentData) -> None:
        """Refuse data that would train on something else without an error: wrong shapes, a mask the loss does not take.

        Raises:
            TrainingError: estimate and target differ in shape, or targets are missing and the loss has no ``mask``.
        """
        if data.rows.target_mask is not None and self.n_members > 1:
            raise TrainingError(
                "some targets are missing: train the members one by one (n_members=1), or drop the rows"
            )
        if data.rows.target_mask is not None and "mask" not in self._loss_inputs:
            raise TrainingError(
                f"loss {type(self.loss).__name__} has no parameter 'mask', but some targets are missing: "
                "add forward(..., mask=None) or drop the rows"
            )
        first = data.gather(torch.arange(min(2, len(data))))  # gathers two rows only
        was_training = self.model.training
        self.model.eval()
        with torch.no_grad():
            pred = self.predict(first)
        self.model.train(was_training)
        if (pred.shape[1:] if self.n_members > 1 else pred.shape) != first.y.shape:
            raise TrainingError(
                f"model {type(self.model).__name__}: expected an estimate of shape {tuple(first.y.shape)} like the "
                f"targets, got {tuple(pred.shape)} - reshape it in forward"
            )

    def predict(self, batch: Batch) -> Tensor:
        """Return the estimate of each check-up, shape (B, D), or (K, B, D) with members; float32."""
        inputs = self.inputs(batch)
        if not self.precision.enabled:
            plain: Tensor = self.model(batch.x, **inputs)
            return plain
        with self.precision.forward_context():
            pred: Tensor = self.model(batch.x, **inputs)
        return pred.float()

    def inputs(self, batch: Batch) -> dict[str, Tensor]:
        """Return the inputs of the model besides ``x``."""
        return {name: tensor for name in self._model_inputs if (tensor := getattr(batch, name)) is not None}

    def __call__(self, batch: Batch) -> Tensor:
        """Return the loss of the batch on the device: one number, or one for each member, shape (K,)."""
        return self.loss_of(self.predict(batch), batch)

    def loss_of(self, pred: Tensor, batch: Batch) -> Tensor:
        """Return the loss of an estimate of the batch."""
        extra: dict[str, Any] = {}
        if batch.target_mask is not None:
            extra["mask"] = batch.target_mask
        if batch.time is not None:
            extra["t"] = batch.time
        if batch.segment is not None and "segment" in self._loss_inputs:
            extra["segment"] = batch.segment
        if self.n_members > 1:
            return self._member_losses(pred, batch.y, extra)
        loss: Tensor = self.loss(pred, batch.y, **extra)
        return loss

    def _member_losses(self, pred: Tensor, y: Tensor, extra: dict[str, Tensor]) -> Tensor:
        """Return the loss of each member; y is (B, D) if they share the rows, else (K, B, D)."""
        if type(self.loss) is losses.MSELoss and self.reduction == "mean":
            return (pred - y).square().mean(dim=(1, 2))
        member_dim = 0 if y.ndim == 3 else None

        def of_member(pred: Tensor, y: Tensor, extra: dict[str, Tensor]) -> Any:
            return self.loss(pred, y, **extra)

        each: Tensor = torch.func.vmap(of_member, in_dims=(0, member_dim, member_dim))(pred, y, extra)
        return each

    @torch.no_grad()
    def evaluate(self, data: ResidentData, batch_size: int) -> list[float]:
        """Return the loss of each member over all rows, without gradient; the host waits once."""
        self.model.eval()
        counts = data.valid_counts(batch_size)
        values = [self(batch) for batch in data.batches(batch_size)]
        return weighted_loss(torch.stack(values), counts, self.reduction)


def weighted_loss(values: Tensor, counts: list[int], reduction: str) -> list[float]:
    """Reduce losses of batches, (n,) or (n, K), to one number a member: a mean over valid targets, or a sum."""
    values = values.reshape(len(values), -1)
    values = values if values.device.type == "mps" else values.double()
    if reduction == "sum":
        return list(values.sum(dim=0).tolist())
    weights = torch.tensor(counts, dtype=values.dtype, device=values.device).unsqueeze(1)
    return list(((values * weights).sum(dim=0) / weights.sum()).tolist())


def _parameters(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters)
