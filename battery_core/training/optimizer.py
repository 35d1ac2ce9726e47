"""Optimizer and learning rate of a training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from battery_core.errors import TrainingError
from battery_core.training.settings import TrainerSettings


def clip_members(gradients: list[Tensor], limit: float, may_read_norm: bool = True) -> Tensor:
    """Clip each member of a batched ensemble by a norm of its own; return the norms before, shape (K,).

    Args:
        gradients: shape (K, ...), changed in place.
        limit: largest norm of a member.
        may_read_norm: whether the host may wait for the norms, to skip the product with 1.
    """
    norms: Tensor = torch.linalg.vector_norm(torch.cat([g.flatten(1) for g in gradients], dim=1), dim=1)
    if may_read_norm and norms.max().item() < 0.99 * limit:
        return norms  # every factor would be 1; a norm that is not a number is no less
    factors = (limit / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))
    return norms


def make_optimizer(model: nn.Module, settings: TrainerSettings) -> torch.optim.AdamW:
    """Return AdamW in one fused kernel; on request biases and normalisation weights are not decayed.

    Raises:
        TrainingError: the model has nothing to train.

    Reference:
        I. Loshchilov, F. Hutter, Decoupled weight decay regularization (2019).
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    if not weights:
        raise TrainingError(f"model {type(model).__name__} has no parameter that requires a gradient: nothing to train")
    groups: list[dict[str, Any]] = [{"params": weights}]
    if not settings.decay_biases_and_norms:
        vector = 1 if int(getattr(model, "n_members", 1)) == 1 else 2  # members come first: (K, ...)
        flat = [p for p in weights if p.ndim <= vector]
        groups = [{"params": [p for p in weights if p.ndim > vector]}, {"params": flat, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def make_scheduler(optimizer: torch.optim.Optimizer, settings: TrainerSettings) -> CosineAnnealingWarmRestarts:
    """Return a cosine learning rate that restarts after T0, 2 T0, 4 T0... epochs.

    Reference:
        I. Loshchilov, F. Hutter, SGDR: stochastic gradient descent with warm restarts (2017), equation 5.
    """
    return CosineAnnealingWarmRestarts(optimizer, T_0=settings.scheduler_T0, T_mult=2)
