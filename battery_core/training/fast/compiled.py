"""Several optimizer steps compiled into one call: a step of a tiny model is mostly overhead of calls."""

from __future__ import annotations

import logging
from collections.abc import Callable
from statistics import fmean
from types import FunctionType, MethodType

import torch
from torch import Tensor
from torch.func import functional_call, grad

from battery_core.training.loop.backend import NonFiniteLossError
from battery_core.training.loop.batches import Batch, ResidentData, split_rows
from battery_core.training.loop.eager import EagerBackend
from battery_core.training.loop.forward import weighted_loss

logger = logging.getLogger(__name__)

#: weights, first and second moment, number of steps, learning rate, whether a step was bad, rows -> losses
_Steps = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Batch], Tensor]


class CompiledBackend:
    """Runs ``compile_steps`` optimizer steps in one compiled call; the rest of an epoch runs step by step.

    All weights are one flat vector (a row for each member), so that clip and AdamW are single loops. Numbers agree
    with the eager steps to rounding; dropout draws from the compiler's generator and differs. Mixed precision, hooks
    on batches and models that cannot be compiled run step by step, with a warning.

    Args:
        step_by_step: runs the steps that are not compiled.
    """

    def __init__(self, step_by_step: EagerBackend) -> None:
        self._step_by_step = step_by_step
        self.forward, self.optimizer = step_by_step.forward, step_by_step.optimizer
        self.settings, self.parameters = step_by_step.settings, step_by_step.parameters
        forward, optimizer, hooks = self.forward, self.optimizer, step_by_step.hooks
        names = {id(p): name for name, p in forward.model.named_parameters()}
        self._names = [names[id(p)] for p in self.parameters]
        self._shapes = [p.shape for p in self.parameters]
        self._members = forward.n_members
        decay = [(p, g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]]
        self._decay = torch.cat([torch.full_like(self._row(p.detach()), rate) for p, rate in decay], dim=1)
        # read once: the compiler would guard on the whole group, and compile again when the learning rate changes
        self._betas, self._eps = optimizer.param_groups[0]["betas"], float(optimizer.param_groups[0]["eps"])
        self._compiled: _Steps = torch.compile(_with_separate_code(self._many_steps), fullgraph=True, dynamic=False)
        self._usable = not (forward.precision.enabled or hooks.batch_start or hooks.batch_end)
        if not self._usable:
            logger.warning(
                "backend compiled: mixed precision and hooks on batches run step by step; nothing is compiled"
            )

    def train_epoch(self, data: ResidentData, order: Tensor, epoch: int) -> float:
        """Train on all rows once; see ``StepBackend.train_epoch``."""
        size, accumulate = self.settings.batch_size, self.settings.accumulate
        rows_a_call = size * accumulate * self.settings.compile_steps
        calls = len(data) // rows_a_call
        if not self._usable or calls == 0:
            return self._step_by_step.train_epoch(data, order, epoch)
        self.forward.model.train()
        counts, gathered = data.valid_counts(size, order), data.gather(order)
        chunks = list(split_rows(gathered, rows_a_call))[:calls]
        done = calls * accumulate * self.settings.compile_steps
        try:
            losses = self._run_compiled(chunks)
        except NonFiniteLossError:
            raise
        except Exception as err:  # noqa: BLE001 - whatever a compiler may raise, the eager steps give the same numbers
            reason = (str(err).splitlines() or [type(err).__name__])[0]  # what follows are pages of compiler output
            logger.warning(
                "backend compiled: %s cannot be compiled (%s): going on step by step",
                type(self.forward.model).__name__,
                reason,
            )
            self._usable = False
            return self._step_by_step.train_epoch(data, order, epoch)
        weights = [sum(counts[i : i + accumulate]) for i in range(0, done, accumulate)]
        rest = list(split_rows(gathered, size))[done:]
        if rest:
            losses = torch.cat([losses, self._step_by_step.run_steps(rest, counts[done:], done, epoch)])
            weights += counts[done:]
        return fmean(weighted_loss(losses, weights, self.forward.reduction))

    @torch.no_grad()
    def _run_compiled(self, chunks: list[Batch]) -> Tensor:
        """Run compiled steps over these chunks of rows; return the loss of each step."""
        weights, first, second, steps = self._load()
        rate = torch.tensor(self.optimizer.param_groups[0]["lr"], device=weights.device)
        bad = torch.zeros((), device=weights.device)
        before, losses = float(steps), []
        for chunk in chunks:
            losses.append(self._compiled(weights, first, second, steps, rate, bad, chunk))
            if weights.device.type == "cpu" and bad.item():
                break
        self._store(weights, first, second, steps)
        values = torch.cat(losses)
        if bad.item():
            step = int(float(steps) - before)
            quantity = "gradient" if torch.isfinite(values[step]).all() else "loss"
            raise NonFiniteLossError(step * self.settings.accumulate, quantity)
        return values

    def _many_steps(
        self, weights: Tensor, first: Tensor, second: Tensor, steps: Tensor, rate: Tensor, bad: Tensor, rows: Batch
    ) -> Tensor:
        """Take a few steps of clip and AdamW, written out; a bad step and all after it change nothing."""
        w, m, v, n, b = weights, first, second, steps, bad
        (beta1, beta2), eps = self._betas, self._eps
        losses = []
        for batch in split_rows(rows, self.settings.batch_size * self.settings.accumulate):
            gradient, loss = self._gradient(w, batch)
            norm = gradient.square().sum(dim=1, keepdim=True).sqrt()  # (K, 1)
            b = torch.maximum(b, (~(torch.isfinite(loss).all() & torch.isfinite(norm).all())).to(b.dtype))
            if self.settings.gradient_clip is not None:
                gradient = gradient * (self.settings.gradient_clip / (norm + 1e-6)).clamp(max=1.0)
            next_n = n + 1
            next_m = torch.lerp(m, gradient, 1 - beta1)
            next_v = v * beta2 + gradient * gradient * (1 - beta2)
            scale = next_v.sqrt() / (1 - beta2**next_n).sqrt() + eps
            next_w = w * (1 - rate * self._decay) - rate / (1 - beta1**next_n) * next_m / scale
            good = b == 0
            w, m, v = torch.where(good, next_w, w), torch.where(good, next_m, m), torch.where(good, next_v, v)
            n = torch.where(good, next_n, n)
            losses.append(loss)
        for target, value in ((weights, w), (first, m), (second, v), (steps, n), (bad, b)):
            target.copy_(value)
        return torch.stack(losses)

    def _gradient(self, weights: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the gradient of the flat weights (K, P), and the loss of each member."""
        slices = torch.split(weights, [shape.numel() // self._members for shape in self._shapes], 1)

        def loss_of(values: list[Tensor]) -> tuple[Tensor, Tensor]:
            named = dict(zip(self._names, values, strict=True))
            pred = functional_call(self.forward.model, named, (batch.x,), self.forward.inputs(batch))
            loss = self.forward.loss_of(pred, batch)
            return loss.sum(), loss

        values = [values.reshape(shape) for values, shape in zip(slices, self._shapes, strict=True)]
        gradients, loss = grad(loss_of, has_aux=True)(values)
        return torch.cat([self._row(gradient) for gradient in gradients], dim=1), loss

    def _load(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return weights and optimizer state as flat vectors."""
        state = self.optimizer.state
        for p in self.parameters:
            if not state[p]:
                state[p]["step"] = torch.zeros((), device=p.device)
                state[p]["exp_avg"], state[p]["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
        flat = [[p.detach(), state[p]["exp_avg"], state[p]["exp_avg_sq"]] for p in self.parameters]
        weights, first, second = (
            torch.cat([self._row(tensor) for tensor in tensors], 1) for tensors in zip(*flat, strict=True)
        )
        return weights, first, second, state[self.parameters[0]]["step"].clone()

    def _store(self, weights: Tensor, first: Tensor, second: Tensor, steps: Tensor) -> None:
        """Copy flat vectors back into model and optimizer."""
        sizes = [shape.numel() // self._members for shape in self._shapes]
        flat = (torch.split(vector, sizes, 1) for vector in (weights, first, second))
        for p, w, m, v in zip(self.parameters, *flat, strict=True):
            state = self.optimizer.state[p]
            for target, value in ((p, w), (state["exp_avg"], m), (state["exp_avg_sq"], v)):
                target.copy_(value.reshape(p.shape))
            state["step"].copy_(steps)

    def _row(self, tensor: Tensor) -> Tensor:
        """Flatten (K, ...) to (K, P) with members, (...) to (1, P) without."""
        return tensor.reshape(self._members, -1)


def _with_separate_code(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the method with a copy of its code: the compiler limits the variants of one code object."""
    assert isinstance(method, MethodType)
    function = method.__func__
    assert isinstance(function, FunctionType)
    return MethodType(
        FunctionType(function.__code__.replace(), function.__globals__, function.__name__), method.__self__
    )
