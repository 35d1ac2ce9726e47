"""Optimizer and learning rate of a training."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from battery_core.errors import TrainingError
from battery_core.training.settings import TrainerSettings


def make_optimizer(model: nn.Module, settings: TrainerSettings) -> torch.optim.AdamW:
    """AdamW in one fused kernel; on request biases and normalisation weights are not decayed.

    Raises:
        TrainingError: the model has nothing to train.

    Reference:
        I. Loshchilov, F. Hutter, Decoupled weight decay regularization (2019).
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    if not weights:
        raise TrainingError(f"model {type(model).__name__} has no parameter that requires a gradient: nothing to train")
    groups = [{"params": weights}]
    if not settings.decay_biases_and_norms:
        vector = 1 if int(getattr(model, "n_members", 1)) == 1 else 2  # members come first: (K, ...)
        flat = [p for p in weights if p.ndim <= vector]
        groups = [{"params": [p for p in weights if p.ndim > vector]}, {"params": flat, "weight_decay": 0.0}]  # type: ignore[dict-item]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def make_scheduler(optimizer: torch.optim.Optimizer, settings: TrainerSettings) -> CosineAnnealingWarmRestarts:
    """Cosine learning rate that restarts after T0, 2 T0, 4 T0... epochs.

    Reference:
        I. Loshchilov, F. Hutter, SGDR: stochastic gradient descent with warm restarts (2017), equation 5.
    """
    return CosineAnnealingWarmRestarts(optimizer, T_0=settings.scheduler_T0, T_mult=2)
