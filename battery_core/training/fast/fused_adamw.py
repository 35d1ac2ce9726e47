"""Clip and AdamW step through torch's fused kernels: the bits of the public functions, with fewer calls."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class FusedAdamWStep:
    """Steps of a fused ``torch.optim.AdamW``, with lists of tensors that are gathered once an epoch.

    On a tiny model most of the time of ``AdamW.step`` goes into gathering lists and profiling hooks.

    Args:
        optimizer: AdamW with ``fused=True``; its state stays its own.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self._groups: list[tuple[dict[str, Any], list[Tensor], list[Tensor], list[Tensor], list[Tensor]]] | None = None

    def prepare(self) -> None:
        """Gather weights and moments; needed after anything that replaces them, such as loading a state."""
        self._groups = []
        for group in self.optimizer.param_groups:
            states = [self.optimizer.state[p] for p in group["params"]]
            if not all(states):
                self._groups = None  # before the first step there are no moments
                return
            moments = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
            self._groups.append((group, group["params"], *moments))

    @torch.no_grad()
    def step(self) -> None:
        """Take one step; through ``AdamW.step`` where there are no moments yet or a weight has no gradient."""
        gradients = [[p.grad for p in group["params"]] for group in self.optimizer.param_groups]
        if self._groups is None or any(g is None for each in gradients for g in each):
            self.optimizer.step()
            return self.prepare()
        found_inf = getattr(self.optimizer, "found_inf", None)
        for (group, weights, first, second, steps), grads in zip(self._groups, gradients, strict=True):
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                weights, grads, first, second, [], steps, lr=group["lr"], beta1=group["betas"][0],
                beta2=group["betas"][1], weight_decay=group["weight_decay"], eps=group["eps"], amsgrad=False,
                maximize=False, found_inf=found_inf,
            )  # fmt: skip
            if found_inf is not None:
                torch._foreach_sub_(steps, [found_inf] * len(steps))
        self.optimizer._opt_called = True  # type: ignore[attr-defined]  # read by the scheduler before its own step
        return None


def fused_clip(gradients: list[Tensor], limit: float, may_read_norm: bool) -> Tensor:
    """Clip like ``clip_grad_norm_``, for gradients of one device and dtype; return the norm before.

    Args:
        gradients: changed in place.
        limit: largest global norm.
        may_read_norm: whether the host may wait for the norm, to skip the product with 1.
    """
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients, 2.0)), 2.0)
    if may_read_norm and norm.item() < 0.99 * limit:
        return norm  # the factor would be 1
    torch._foreach_mul_(gradients, torch.clamp(limit / (norm + 1e-6), max=1.0))
    return norm
