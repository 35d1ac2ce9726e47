"""Optimizer and learning rate of a training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from battery_core.errors import TrainingError
from battery_core.training.settings import TrainerSettings


class FusedAdamW(torch.optim.AdamW):
    """Fused AdamW whose ``lean_step`` calls the same kernel with lists gathered once an epoch: the same bits, sooner.

    On a tiny model most of ``step`` is gathering lists and profiling hooks.
    """

    _lists: list[tuple[dict[str, Any], list[Tensor], list[Tensor], list[Tensor], list[Tensor]]] | None = None

    def prepare(self) -> None:
        """Gather weights and moments; needed after anything that replaces them, such as loading a state."""
        self._lists = []
        for group in self.param_groups:
            states = [self.state[p] for p in group["params"]]
            if not all(states):
                self._lists = None  # before the first step there are no moments
                return
            moments = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
            self._lists.append((group, group["params"], *moments))

    @torch.no_grad()
    def fused_step(self) -> None:
        """One step; the usual one where there are no moments yet or a weight has no gradient."""
        gradients = [[p.grad for p in group["params"]] for group in self.param_groups]
        if self._lists is None or any(g is None for each in gradients for g in each):
            self.step()
            return self.prepare()
        found_inf = getattr(self, "found_inf", None)
        for (group, weights, first, second, steps), grads in zip(self._lists, gradients, strict=True):
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                weights, grads, first, second, [], steps, lr=group["lr"], beta1=group["betas"][0],
                beta2=group["betas"][1], weight_decay=group["weight_decay"], eps=group["eps"], amsgrad=False,
                maximize=False, found_inf=found_inf,
            )  # fmt: skip
            if found_inf is not None:
                torch._foreach_sub_(steps, [found_inf] * len(steps))
        self._opt_called = True  # the scheduler asks whether a step came before its own
        return None


def fused_clip(gradients: list[Tensor], limit: float, host_may_look: bool) -> Tensor:
    """What ``clip_grad_norm_`` does to gradients of one kind, without sorting them by device; the norm before."""
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients, 2.0)), 2.0)
    if host_may_look and norm.item() < 0.99 * limit:
        return norm  # the factor would be 1
    torch._foreach_mul_(gradients, torch.clamp(limit / (norm + 1e-6), max=1.0))
    return norm


def clip_members(gradients: list[Tensor], limit: float, host_may_look: bool) -> Tensor:
    """Clip each member, (K, ...), by a norm of its own; the norms before, shape (K,)."""
    norms: Tensor = torch.linalg.vector_norm(torch.cat([g.flatten(1) for g in gradients], dim=1), dim=1)
    if host_may_look and norms.max().item() < 0.99 * limit:
        return norms  # every factor would be 1; a norm that is not a number is no less
    factors = (limit / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))
    return norms


def make_optimizer(model: nn.Module, settings: TrainerSettings) -> FusedAdamW:
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
    return FusedAdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def make_scheduler(optimizer: torch.optim.Optimizer, settings: TrainerSettings) -> CosineAnnealingWarmRestarts:
    """Cosine learning rate that restarts after T0, 2 T0, 4 T0... epochs.

    Reference:
        I. Loshchilov, F. Hutter, SGDR: stochastic gradient descent with warm restarts (2017), equation 5.
    """
    return CosineAnnealingWarmRestarts(optimizer, T_0=settings.scheduler_T0, T_mult=2)
