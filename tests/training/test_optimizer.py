"""Fused clip and step against those of torch; number formats; behaviour that needs a GPU."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from battery_core.training import Trainer
from battery_core.training.fast.fused_adamw import FusedAdamWStep, fused_clip
from battery_core.training.optimizer import clip_members, make_optimizer
from battery_core.training.precision import Precision
from battery_core.training.settings import TrainerSettings

Make = Callable[..., Any]
GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
DEVICES = ["cpu", pytest.param("cuda", marks=GPU)]


def two(device: str) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    a, b = nn.Linear(4, 3).to(device), nn.Linear(4, 3).to(device)
    b.load_state_dict(a.state_dict())
    return a, b


@pytest.mark.parametrize("device", DEVICES)
def test_fused_steps_are_those_of_adamw_bit_for_bit(device: str) -> None:
    ours, theirs = two(device)
    optimizer, plain = (
        torch.optim.AdamW(
            [{"params": [model.weight]}, {"params": [model.bias], "weight_decay": 0.0}], lr=0.1, fused=True
        )
        for model in (ours, theirs)
    )
    fused = FusedAdamWStep(optimizer)
    for step in range(6):
        if step == 4:  # as after a resume
            optimizer.load_state_dict(copy.deepcopy(plain.state_dict()))
            fused.prepare()
        x = torch.randn(5, 4, device=device)
        for model in (ours, theirs):
            model.zero_grad()
            model(x).square().sum().backward()
        fused.step()
        plain.step()
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("device", DEVICES)
def test_a_step_marked_as_bad_changes_nothing(device: str) -> None:
    model, before = two(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    fused = FusedAdamWStep(optimizer)
    for bad in (0.0, 1.0):
        model.zero_grad()
        model(torch.ones(2, 4, device=device)).sum().backward()
        optimizer.found_inf = torch.tensor(bad, device=device)  # type: ignore[attr-defined]
        fused.step()
        if not bad:
            before.load_state_dict(model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))
    assert [state["step"].item() for state in optimizer.state.values()] == [1.0, 1.0]


def test_a_weight_without_gradient_is_left_alone() -> None:
    model, before = two("cpu")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    fused = FusedAdamWStep(optimizer)
    for _ in range(3):
        model.zero_grad()
        (model.weight.sum()).backward()
        fused.step()
    assert torch.equal(model.bias, before.bias)
    assert not torch.equal(model.weight, before.weight)


@pytest.mark.parametrize("limit", [0.01, 1.0, 1e6])
@pytest.mark.parametrize("look", [True, False])
def test_fused_clip_is_clip_grad_norm(limit: float, look: bool) -> None:
    torch.manual_seed(0)
    gradients = [torch.randn(4, 3), torch.randn(3)]
    parameters = [nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    assert torch.equal(fused_clip(gradients, limit, look), clip_grad_norm_(parameters, limit))
    assert all(torch.equal(p.grad, g) for p, g in zip(parameters, gradients, strict=True) if p.grad is not None)


def test_without_cuda_mixed_precision_is_off() -> None:
    assert not Precision.choose(True, "auto", torch.device("cpu")).enabled
    assert not Precision.choose(False, "bf16", torch.device("cuda")).enabled


def test_a_scaler_skips_what_overflows_and_is_resumed() -> None:
    precision = Precision("fp16", torch.device("cpu"))
    model, before = two("cpu")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    scale = precision.state_dict()["scale"]
    precision.backward(model(torch.full((1, 4), 1e38)).sum() * 1e3)
    precision.unscale(optimizer)
    precision.step(optimizer)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))
    other = Precision("fp16", torch.device("cpu"))
    other.load_state_dict(precision.state_dict())
    assert other.state_dict()["scale"] == scale / 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("config", [{"use_amp": False}, {"amp_dtype": "bf16"}, {"amp_dtype": "fp16"}])
def test_training_on_a_gpu_is_training_on_the_cpu(make_samples: Make, make_mlp: Make, config: dict[str, Any]) -> None:
    losses: list[Tensor] = []
    for device in ("cpu", "cuda"):
        settings = {"epochs": 20, "batch_size": 16, "learning_rate": 0.01, "device": device} | config
        history = Trainer(make_mlp(dropout=0.0), settings).fit(make_samples(), make_samples(2, first=9))
        losses.append(torch.tensor(history["train_loss"]))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-3 if config == {"use_amp": False} else 0.05, atol=1e-5)


@pytest.mark.parametrize("host_may_look", [True, False])
@pytest.mark.parametrize("limit", [0.5, 1.5, 100.0])  # all, some, none of the members are clipped
def test_each_member_is_clipped_as_it_would_be_alone(limit: float, host_may_look: bool) -> None:
    torch.manual_seed(0)
    whole = [torch.randn(3, 4, 2), torch.randn(3, 4)]
    whole = [g * torch.tensor([0.2, 1.0, 5.0]).view(-1, *[1] * (g.ndim - 1)) for g in whole]
    alone = [[nn.Parameter(g[i].clone()) for g in whole] for i in range(3)]
    for member, weights in enumerate(alone):
        for weight, g in zip(weights, whole, strict=True):
            weight.grad = g[member].clone()
    want = torch.stack([clip_grad_norm_(weights, limit) for weights in alone])
    torch.testing.assert_close(clip_members(whole, limit, host_may_look), want)
    for member, weights in enumerate(alone):
        for weight, g in zip(weights, whole, strict=True):
            torch.testing.assert_close(g[member], weight.grad)


def test_biases_and_norms_are_spared_on_request() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))
    groups = make_optimizer(model, TrainerSettings(decay_biases_and_norms=False)).param_groups
    assert [(g["weight_decay"], [p.ndim for p in g["params"]]) for g in groups] == [(0.01, [2, 2]), (0.0, [1, 1, 1, 1])]
    assert len(make_optimizer(model, TrainerSettings()).param_groups) == 1
