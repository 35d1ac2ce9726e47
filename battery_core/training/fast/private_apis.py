"""Private functions and implementation details of torch that the fast path needs, each with a probe.

A probe uses the API on a few numbers and compares bit for bit with the public function that it replaces. Where a probe
fails, ``backend: auto`` takes the eager path. To support a new version of torch, run
``tests/training/fast/test_private_apis.py`` with it and add the version to ``TRIED_VERSIONS``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from battery_core.training.fast.fused_adamw import FusedAdamWStep, fused_clip
from battery_core.training.fast.manual_layers import dropout_scale

#: Versions of torch with which all probes passed.
TRIED_VERSIONS = ("2.13",)

_aten = torch.ops.aten


@dataclass(frozen=True)
class PrivateAPI:
    """A private API and how to find out whether it works.

    Args:
        name: as it is written in torch.
        purpose: what the fast path does with it.
        probe: returns whether the API behaves as the fast path needs; may raise anything where it does not.
    """

    name: str
    purpose: str
    probe: Callable[[], bool]

    def works(self) -> bool:
        """Return whether the API exists and behaves as needed."""
        try:
            return self.probe()
        except Exception:  # noqa: BLE001 - a private API may fail in any way
            return False


@cache
def unusable_apis() -> tuple[str, ...]:
    """Return the names of the private APIs that this version of torch lacks or has changed."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), torch.autocast("cpu", enabled=False):
        return tuple(api.name for api in PRIVATE_APIS if not api.works())


def _numbers() -> Tensor:
    return torch.linspace(-2.0, 2.0, 12).view(4, 3)


def _gradient_is(function: Callable[[Tensor], Tensor], manual: Callable[[Tensor, Tensor, Tensor], Tensor]) -> bool:
    """Compare a manual gradient (of the gradient by the output, input and output) with that of autograd."""
    x = _numbers().requires_grad_()
    out = function(x)
    upstream = torch.full_like(out, 0.3)
    (expected,) = torch.autograd.grad(out, x, upstream)
    with torch.no_grad():
        return torch.equal(manual(upstream, x, out), expected)


def _relu() -> bool:
    return _gradient_is(torch.relu, lambda grad, x, out: _aten.threshold_backward.default(grad, out, 0))


def _tanh() -> bool:
    return _gradient_is(torch.tanh, lambda grad, x, out: _aten.tanh_backward.default(grad, out))


def _silu() -> bool:
    return _gradient_is(nn.functional.silu, lambda grad, x, out: _aten.silu_backward.default(grad, x))


def _gelu() -> bool:
    return _gradient_is(
        nn.functional.gelu, lambda grad, x, out: _aten.gelu_backward.default(grad, x, approximate="none")
    )


def _mse_loss() -> bool:
    y = _numbers() * 0.5
    return _gradient_is(
        lambda x: nn.functional.mse_loss(x, y), lambda grad, x, out: _aten.mse_loss_backward.default(grad, x, y, 1)
    )


def _dropout() -> bool:
    torch.manual_seed(0)
    public = nn.functional.dropout(torch.ones(64), 0.3)
    torch.manual_seed(0)
    return torch.equal(dropout_scale(torch.ones(64), 0.7), public)


def _global_hooks() -> bool:
    register = (torch_module.register_module_forward_hook, torch_module.register_module_full_backward_hook)
    for add_hook in register:
        handle = add_hook(lambda module, *args: None)
        try:
            is_hooked = bool(torch_module._has_any_global_hook())  # type: ignore[no-untyped-call]
        finally:
            handle.remove()
        if not is_hooked:
            return False
    return True


def _module_hooks() -> bool:
    module = nn.Identity()
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    if any(vars(module)[name] for name in names):
        return False
    module.register_forward_hook(lambda module, args, output: None)
    module.register_forward_pre_hook(lambda module, args: None)
    module.register_full_backward_hook(lambda module, grads, outputs: None)
    module.register_full_backward_pre_hook(lambda module, grads: None)
    return all(vars(module)[name] for name in names)


def _compiled_call() -> bool:
    return nn.Identity()._compiled_call_impl is None


def _weight_hooks() -> bool:
    weight, other = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    if weight._backward_hooks or weight._post_accumulate_grad_hooks:
        return False
    weight.register_hook(lambda grad: grad)  # type: ignore[no-untyped-call]
    other.register_post_accumulate_grad_hook(lambda tensor: None)  # type: ignore[no-untyped-call]
    return bool(weight._backward_hooks and other._post_accumulate_grad_hooks)


def _foreach_norm() -> bool:
    gradients = [_numbers(), _numbers()[0] * 3]
    weights = [nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient.clone()
    is_same = torch.equal(fused_clip(gradients, 1.0, may_read_norm=False), clip_grad_norm_(weights, 1.0))
    return is_same and all(
        torch.equal(w.grad, g) for w, g in zip(weights, gradients, strict=True) if w.grad is not None
    )


def _adamw(found_inf: float | None = None, steps: int = 3) -> bool:
    """Compare fused steps with ``AdamW.step``; with ``found_inf`` the last step of both is marked."""
    weights = [nn.Parameter(_numbers()) for _ in range(2)]
    ours, public = (torch.optim.AdamW([weight], lr=0.1, fused=True) for weight in weights)
    fused = FusedAdamWStep(ours)
    for step in range(steps):
        for weight, optimizer in zip(weights, (ours, public), strict=True):
            weight.grad = torch.full_like(weight, 0.5)
            if found_inf is not None and step == steps - 1:
                optimizer.found_inf = torch.tensor(found_inf)  # type: ignore[attr-defined]
        before = weights[0].detach().clone()
        fused.step()
        public.step()
    is_same = torch.equal(weights[0], weights[1]) and ours.state[weights[0]]["step"] == public.state[weights[1]]["step"]
    return bool(is_same) and torch.equal(before, weights[0]) == bool(found_inf)


def _found_inf() -> bool:
    return _adamw(found_inf=0.0) and _adamw(found_inf=1.0)


def _opt_called() -> bool:
    """Check that the scheduler does not warn of a missing optimizer step once the mark is set."""
    optimizer = torch.optim.AdamW([nn.Parameter(_numbers())], lr=0.1, fused=True)
    scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=2)
    optimizer._opt_called = True  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()
    return True


PRIVATE_APIS = (
    PrivateAPI("torch.ops.aten.threshold_backward", "gradient of ReLU", _relu),
    PrivateAPI("torch.ops.aten.tanh_backward", "gradient of Tanh", _tanh),
    PrivateAPI("torch.ops.aten.silu_backward", "gradient of SiLU", _silu),
    PrivateAPI("torch.ops.aten.gelu_backward", "gradient of GELU", _gelu),
    PrivateAPI("torch.ops.aten.mse_loss_backward", "gradient of the mean squared error", _mse_loss),
    PrivateAPI("random numbers of torch.nn.functional.dropout", "dropout that can be differentiated by hand", _dropout),
    PrivateAPI("torch.nn.modules.module._has_any_global_hook", "whether hooks act on every module", _global_hooks),
    PrivateAPI("torch.nn.Module._forward_hooks and _backward_hooks", "whether hooks act on a module", _module_hooks),
    PrivateAPI("torch.nn.Module._compiled_call_impl", "whether a module is compiled", _compiled_call),
    PrivateAPI("torch.Tensor._backward_hooks", "whether hooks act on the gradient of a weight", _weight_hooks),
    PrivateAPI("torch._foreach_norm and torch._foreach_mul_", "norm and clip in two calls", _foreach_norm),
    PrivateAPI("torch._fused_adamw_ and torch._foreach_add_", "step of AdamW in one call", _adamw),
    PrivateAPI("torch.optim.AdamW.found_inf", "steps that the device skips", _found_inf),
    PrivateAPI("torch.optim.Optimizer._opt_called", "order of optimizer and scheduler", _opt_called),
)
