"""Compiled steps give the numbers of the eager ones; compiling takes long, so most of this is marked slow."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from battery_core.data.samples.sample import SampleMeta, Samples
from battery_core.models.mlp import MLPModel
from battery_core.training import BaseCallback, StopReason, Trainer

CONFIG: dict[str, Any] = {
    "epochs": 4, "batch_size": 8, "learning_rate": 0.01, "gradient_clip": 0.05, "seed": 3, "device": "cpu",
    "backend": "compiled", "compile_steps": 2,
}  # fmt: skip


def make_samples(n: int, seed: int = 0) -> Samples:
    x = np.random.default_rng(seed).normal(size=(n, 5)).astype(np.float32)
    return Samples(x, 0.9 + 0.05 * np.tanh(x[:, :1]), [SampleMeta(f"c{i // 10}", i % 10) for i in range(n)])


def train(config: dict[str, Any], samples: Samples, n_members: int = 1, loss: Any = None, **extra: Any) -> Any:
    torch.manual_seed(0)
    model = MLPModel(5, [6], dropout=0.0, n_members=n_members)
    return model, Trainer(model, CONFIG | config, loss_config=loss, **extra).fit(samples, make_samples(20, 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_members", "config", "loss"),
    [
        (1, {}, None),
        (1, {"accumulate": 2, "decay_biases_and_norms": False, "weight_decay": 1.0}, {"name": "huber"}),
        (3, {"gradient_clip": 0.02}, {"name": "physics_informed", "monotonicity_weight": 0.1}),
    ],
)
def test_compiled_steps_equal_eager_ones(
    n_members: int, config: dict[str, Any], loss: Any, caplog: pytest.LogCaptureFixture
) -> None:
    samples = make_samples(76)  # compiled calls, whole steps left over, and a last batch that is not full
    counters.clear()
    compiled, history = train(config, samples, n_members, loss)
    assert counters["stats"]["unique_graphs"] == 1  # a new learning rate compiles nothing anew
    assert "cannot be compiled" not in caplog.text
    eager, want = train(config | {"backend": "auto"}, samples, n_members, loss)
    assert history["train_loss"] == pytest.approx(want["train_loss"], rel=1e-4)
    assert history["val_loss"] == pytest.approx(want["val_loss"], rel=1e-4)
    for a, b in zip(compiled.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_bad_row_stops_compiled_steps_before_they_use_it() -> None:
    samples = make_samples(76)
    samples.x[37] = np.nan
    model, history = train({"epochs": 1}, samples)
    eager, want = train({"epochs": 1, "backend": "auto"}, samples)
    assert history.stop_reason == StopReason.NON_FINITE
    assert history.stop_detail == want.stop_detail
    for a, b in zip(model.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_a_model_that_cannot_be_compiled_runs_step_by_step(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(5, 1)

        def forward(self, x: Tensor) -> Tensor:
            print("", end="", file=open("/dev/null", "w"))  # noqa: SIM115 - no compiler takes this
            out: Tensor = self.inner(x)
            return out

    def fit(**config: Any) -> Any:
        torch.manual_seed(0)
        return Trainer(Stubborn(), CONFIG | config).fit(make_samples(76))

    with caplog.at_level(logging.WARNING):
        history = fit()
    assert "backend compiled: Stubborn cannot be compiled" in caplog.text
    assert all(len(record.getMessage().splitlines()) == 1 for record in caplog.records)
    assert history["train_loss"] == fit(backend="auto")["train_loss"]


def test_hooks_on_batches_run_step_by_step(caplog: pytest.LogCaptureFixture) -> None:
    class Counter(BaseCallback):
        n = 0

        def on_batch_end(self, epoch: int, batch: int, loss: Any) -> None:
            self.n += 1

    counter = Counter()
    train({"epochs": 1}, make_samples(76), callbacks=[counter])
    assert counter.n == 10
    assert "hooks on batches run step by step; nothing is compiled" in caplog.text


def test_fewer_rows_than_a_compiled_call_run_step_by_step() -> None:
    _, history = train({"compile_steps": 100}, make_samples(76))
    _, want = train({"backend": "auto"}, make_samples(76))
    assert history["train_loss"] == want["train_loss"]
