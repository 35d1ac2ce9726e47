"""What the Trainer gives a loss, what it makes of it, and what it cannot train with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from battery_core.data.samples.sample import Samples
from battery_core.errors import TrainingError
from battery_core.training import StopReason, Trainer

Make = Callable[..., Any]
FAST: dict[str, Any] = {"epochs": 4, "batch_size": 16, "learning_rate": 0.01, "device": "cpu"}


def test_epoch_loss_weighs_by_valid_targets(make_samples: Make, make_mlp: Make) -> None:
    train = make_samples(cells=5)  # 50 rows: the last batch of 32 + 18 is smaller
    model = make_mlp(dropout=0.0)
    trainer = Trainer(model, FAST | {"epochs": 1, "batch_size": 32, "learning_rate": 1e-12})
    history = trainer.fit(train)
    assert history["train_loss"][0] == pytest.approx(float(np.mean((trainer.predict(train) - train.y) ** 2)), rel=1e-5)


def test_missing_targets_are_masked(make_samples: Make) -> None:
    train = make_samples()
    two = Samples(train.x, np.hstack([train.y, train.y]), train.meta)
    two.y[::2, 1] = np.nan
    torch.manual_seed(0)
    history = Trainer(nn.Linear(4, 2), FAST).fit(two, two)
    assert history.stop_reason == StopReason.EPOCHS
    assert history["val_loss"][-1] < history["val_loss"][0]


def test_loss_without_mask_refuses_missing_targets(make_samples: Make) -> None:
    class Plain(nn.Module):
        def forward(self, pred: Tensor, target: Tensor) -> Tensor:
            return (pred - target).square().mean()

    train = make_samples()
    two = Samples(train.x, np.hstack([train.y, train.y]), train.meta)
    two.y[0, 1] = np.nan
    with pytest.raises(TrainingError, match=r"loss Plain has no parameter 'mask', but some targets are missing"):
        Trainer(nn.Linear(4, 2), FAST, loss_config=Plain()).fit(two)


def test_a_custom_loss_gets_the_time(make_samples: Make) -> None:
    seen: list[Tensor] = []

    class Timed(nn.Module):
        def forward(self, pred: Tensor, target: Tensor, t: Tensor | None = None) -> Tensor:
            assert t is not None
            seen.append(t)
            return (pred - target).square().mean()

    Trainer(nn.Linear(4, 1), FAST | {"epochs": 1, "batch_size": 60}, loss_config=Timed()).fit(make_samples())
    assert sorted(seen[0].tolist()) == sorted(list(range(10)) * 6)


def test_physics_informed_makes_estimates_smoother(make_samples: Make, make_mlp: Make) -> None:
    def rise(weight: float) -> float:
        train = make_samples()
        train.y += np.random.default_rng(1).normal(0, 0.05, train.y.shape).astype(np.float32)
        loss = {"name": "physics_informed", "monotonicity_weight": weight}
        trainer = Trainer(make_mlp(dropout=0.0), FAST | {"epochs": 30}, loss_config=loss)
        trainer.fit(train)
        return float(np.clip(np.diff(trainer.predict(train).reshape(6, 10), axis=1), 0, None).mean())

    assert rise(5.0) < 0.7 * rise(0.0)


@pytest.mark.parametrize(
    ("model", "loss", "message"),
    [
        (nn.Flatten(0), None, r"model Flatten has no parameter that requires a gradient"),
        (nn.Linear(4, 2), None, r"model Linear: expected an estimate of shape \(2, 1\) like the targets, got \(2, 2\)"),
        (nn.Linear(4, 1), {"reduction": "none"}, r"loss reduction 'none' gives no single number"),
    ],
)
def test_what_cannot_be_trained_is_refused(make_samples: Make, model: nn.Module, loss: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        Trainer(model, FAST, loss_config=loss).fit(make_samples())
