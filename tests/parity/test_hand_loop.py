"""The Trainer against loops written by hand: bit for bit on the CPU in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from battery_core.data.samples.sample import SampleMeta, Samples
from battery_core.models.mlp import MLPModel
from battery_core.seeding import derive_seed
from battery_core.training import Trainer
from battery_core.training.fast.manual_backward import ManualBackward
from battery_core.training.precision import Precision

SEED = 3
CONFIG: dict[str, Any] = {
    "epochs": 5, "batch_size": 16, "learning_rate": 0.01, "gradient_clip": 0.05, "scheduler_T0": 2,
    "seed": SEED, "device": "cpu", "early_stopping_patience": None,
}  # fmt: skip


def make_samples(n: int, seed: int, steps: int | None = None) -> Samples:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5) if steps is None else (n, steps, 5)).astype(np.float32)
    y = 0.9 + 0.05 * np.tanh(x.reshape(n, -1)[:, :2].sum(axis=1, keepdims=True))
    return Samples(x, y, [SampleMeta(f"c{i // 10}", i % 10) for i in range(n)])


TRAIN, VAL = make_samples(150, 0), make_samples(40, 1)


def by_hand(model: nn.Module, train: Samples, config: dict[str, Any], epochs: int) -> list[float]:
    """The usual loop, as anyone would write it; train losses of each batch."""
    torch.manual_seed(config["seed"])
    generator = torch.Generator().manual_seed(derive_seed(config["seed"], "batches"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["learning_rate"], weight_decay=0.01, fused=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, config["scheduler_T0"], T_mult=2)
    x, y = torch.from_numpy(train.x), torch.from_numpy(train.y)
    losses = []
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(len(x), generator=generator).split(config["batch_size"]):
            loss = nn.functional.mse_loss(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(model.parameters(), config["gradient_clip"])
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
    return losses


def assert_same(a: nn.Module, b: nn.Module, **tolerance: float) -> None:
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        torch.testing.assert_close(x, y, rtol=tolerance.get("rtol", 0.0), atol=tolerance.get("atol", 0.0), msg=name)


def mlp() -> MLPModel:
    torch.manual_seed(11)
    return MLPModel(5, [16, 8], dropout=0.1)


class LSTM(nn.Module):
    """Last hidden state of a small LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(5, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.lstm(x)[0][:, -1])
        return out


def lstm() -> nn.Module:
    torch.manual_seed(11)
    return LSTM()


@pytest.mark.parametrize(("make", "train"), [(mlp, TRAIN), (lstm, make_samples(60, 0, steps=7))])
@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_trainer_equals_the_hand_loop_bit_for_bit(
    make: Callable[[], nn.Module], train: Samples, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, original = [], ManualBackward.backward
    monkeypatch.setattr(ManualBackward, "backward", lambda *args: (calls.append(1), original(*args))[1])
    ours, theirs = make(), make()
    history = Trainer(ours, CONFIG | {"backend": backend}).fit(train)
    assert len(calls) == (5 * 10 if backend == "auto" and make is mlp else 0)  # of 10 batches the last has 6 rows
    losses = by_hand(theirs, train, CONFIG, epochs=5)
    assert_same(ours, theirs)
    sizes = [min(16, len(train) - i) for i in range(0, len(train), 16)]
    last_epoch = np.average(losses[-len(sizes) :], weights=sizes)
    assert history["train_loss"][-1] == pytest.approx(last_epoch, rel=1e-12)


def test_the_clip_is_at_work_in_that_comparison() -> None:
    clipped, free = mlp(), mlp()
    Trainer(clipped, CONFIG).fit(TRAIN)
    Trainer(free, CONFIG | {"gradient_clip": None}).fit(TRAIN)
    with pytest.raises(AssertionError, match="layers"):
        assert_same(clipped, free)


def test_early_stopping_equals_training_to_the_best_epoch() -> None:
    config = CONFIG | {"epochs": 80, "learning_rate": 0.05, "early_stopping_patience": 4, "scheduler_T0": 50}
    stopped, again = mlp(), mlp()
    history = Trainer(stopped, config).fit(TRAIN, VAL)
    assert history.best_epoch is not None
    assert len(history["lr"]) == history.best_epoch + 5
    Trainer(again, config | {"epochs": history.best_epoch + 1}).fit(TRAIN)
    assert_same(stopped, again)


@pytest.mark.parametrize("clip", [0.05, None])
def test_accumulation_equals_the_large_batch(clip: float | None) -> None:
    train = make_samples(600, 0)  # 256 + 256 + 88: the last group is not full, its last batch neither
    models = []
    for sizes in ({"batch_size": 256}, {"batch_size": 64, "accumulate": 4}):
        torch.manual_seed(1)
        models.append(MLPModel(5, [16], dropout=0.0))
        history = Trainer(models[-1], CONFIG | sizes | {"gradient_clip": clip}).fit(train)
    assert_same(models[0], models[1], rtol=1e-4, atol=1e-6)
    assert len(history["train_loss"]) == 5


def test_bf16_autocast_stays_within_one_percent_of_float32() -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        model = mlp()
        config = CONFIG | {"epochs": 30, "scheduler_T0": 30}
        trainer = Trainer(model, config, precision=Precision(precision, torch.device("cpu")))
        losses.append(trainer.fit(TRAIN, VAL)["train_loss"])
        assert next(model.parameters()).dtype == torch.float32
    assert losses[1] != losses[0]
    assert losses[1][0] == pytest.approx(losses[0][0], rel=0.01)
    assert np.mean(losses[1]) == pytest.approx(np.mean(losses[0]), rel=0.01)
