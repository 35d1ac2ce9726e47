"""A loss that is not finite stops the training before the step, and names the check-up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from battery_core.training import StopReason, Trainer
from battery_core.training.loop.backend import NonFiniteLossError

Make = Callable[..., Any]
FAST: dict[str, Any] = {"epochs": 4, "batch_size": 16, "learning_rate": 0.01, "device": "cpu"}


@pytest.mark.parametrize("guard", ["host", "device"])
@pytest.mark.parametrize(("where", "cause"), [("x", "features"), ("y", "targets")])
def test_a_bad_row_stops_before_the_step(
    make_samples: Make,
    make_mlp: Make,
    same_weights: Make,
    guard: str,
    where: str,
    cause: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if guard == "device":  # as on a GPU, where the host must not read every loss
        monkeypatch.setattr("battery_core.training.fast.fused.runs_ahead", lambda device: True)
    train = make_samples()
    getattr(train, where)[37, 0] = np.nan
    model = make_mlp()
    history = Trainer(model, FAST | {"batch_size": 60}).fit(train, make_samples(2, first=9))
    assert history.stop_reason == StopReason.NON_FINITE
    assert history.offending_cells == ["c3"]
    assert f"loss is not finite in epoch 0, batch 0, because of {cause} of cell 'c3' check-up 7" in history.stop_detail
    assert same_weights(model, make_mlp())
    assert history["train_loss"] == []


@pytest.mark.parametrize("guard", ["host", "device"])
def test_batches_before_the_bad_one_count_and_those_after_do_not(
    make_samples: Make, make_mlp: Make, same_weights: Make, guard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if guard == "device":
        monkeypatch.setattr("battery_core.training.fast.fused.runs_ahead", lambda device: True)
    raised: list[NonFiniteLossError] = []
    original = Trainer._stop_non_finite
    monkeypatch.setattr(
        Trainer, "_stop_non_finite", lambda self, err, *rest: (raised.append(err), original(self, err, *rest))[1]
    )
    train = make_samples()
    train.x[37, 0] = np.inf
    model = make_mlp()
    history = Trainer(model, FAST | {"batch_size": 4}).fit(train)
    assert f"batch {raised[0].batch}," in history.stop_detail
    assert raised[0].batch > 0
    assert not same_weights(model, make_mlp())
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_an_exploding_gradient_stops_before_the_step(make_samples: Make) -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            return x[:, :1] * 0 + self.w.abs().sqrt()  # finite at 0, its slope is not

    model = Root()
    history = Trainer(model, FAST).fit(make_samples())
    assert history.stop_reason == StopReason.NON_FINITE
    assert "gradient is not finite in epoch 0, batch 0" in history.stop_detail
    assert model.w.item() == 0.0


def test_a_non_finite_validation_loss_stops(make_samples: Make, make_mlp: Make) -> None:
    val = make_samples(2, first=9)
    val.x[3] = np.nan
    history = Trainer(make_mlp(), FAST).fit(make_samples(), val)
    assert history.stop_reason == StopReason.NON_FINITE
    assert history.stop_detail == "validation loss is not finite in epoch 0"
