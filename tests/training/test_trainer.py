"""What the Trainer promises: seeds, early stopping, non-finite losses, masks, files and messages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from battery_core.data.sample import Samples
from battery_core.errors import DataError, TrainingError
from battery_core.tracking.local_tracker import LocalTracker, read_metrics
from battery_core.training import History, StopReason, Trainer
from battery_core.training.steps import DeviceGuard, NonFiniteLossError, StepRunner

Make = Callable[..., Any]
FAST: dict[str, Any] = {"epochs": 4, "batch_size": 16, "learning_rate": 0.01, "device": "cpu"}


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_same_seed_same_weights_other_seed_other_weights(make_samples: Make, make_mlp: Make) -> None:
    models = []
    for seed in (1, 1, 2):
        torch.rand(7)  # what was drawn before plays no part
        models.append(make_mlp())
        Trainer(models[-1], FAST | {"seed": seed}).fit(make_samples(), make_samples(2, first=9))
    assert same_weights(models[0], models[1])
    assert not same_weights(models[0], models[2])


def test_history_has_a_value_an_epoch(make_samples: Make, make_mlp: Make) -> None:
    history = Trainer(make_mlp(), FAST | {"scheduler_T0": 2}).fit(make_samples(), make_samples(2, first=9))
    assert {name: len(values) for name, values in history.items()} == {"train_loss": 4, "val_loss": 4, "lr": 4}
    assert history["lr"] == pytest.approx([0.01, 0.005, 0.01, 0.01 * (1 + np.cos(np.pi / 4)) / 2])
    assert history.stop_reason == StopReason.EPOCHS
    assert history.best_epoch == int(np.argmin(history["val_loss"]))


def test_zero_epochs_trains_nothing(make_samples: Make, make_mlp: Make) -> None:
    model = make_mlp()
    history = Trainer(model, FAST | {"epochs": 0}).fit(make_samples(), make_samples(2))
    assert same_weights(model, make_mlp())
    assert history["train_loss"] == []
    assert history.best_epoch is None


def test_best_weights_are_restored(make_samples: Make, make_mlp: Make) -> None:
    val = make_samples(2, seed=5, first=9)
    model = make_mlp()
    trainer = Trainer(model, FAST | {"epochs": 60, "learning_rate": 0.1, "early_stopping_patience": 3})
    history = trainer.fit(make_samples(), val)
    assert history.stop_reason == StopReason.PATIENCE
    assert history.best_epoch == len(history["val_loss"]) - 4
    error = trainer.predict(val) - val.y
    assert float(np.mean(error**2)) == pytest.approx(min(history["val_loss"]), rel=1e-5)
    assert not model.training


def test_without_validation_the_last_weights_stay(make_samples: Make, make_mlp: Make) -> None:
    history = Trainer(make_mlp(), FAST).fit(make_samples())
    assert history.best_epoch == 3
    assert np.isnan(history["val_loss"]).all()


def test_epoch_loss_weighs_by_valid_targets(make_samples: Make, make_mlp: Make) -> None:
    train = make_samples(cells=5)  # 50 rows: the last batch of 32 + 18 is smaller
    model = make_mlp(dropout=0.0)
    trainer = Trainer(model, FAST | {"epochs": 1, "batch_size": 32, "learning_rate": 1e-12})
    history = trainer.fit(train)
    assert history["train_loss"][0] == pytest.approx(float(np.mean((trainer.predict(train) - train.y) ** 2)), rel=1e-5)


@pytest.mark.parametrize("guard", ["host", "device"])
@pytest.mark.parametrize(("where", "cause"), [("x", "features"), ("y", "targets")])
def test_a_bad_row_stops_before_the_step(
    make_samples: Make, make_mlp: Make, guard: str, where: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if guard == "device":  # what runs on a GPU, where the host must not look at every loss
        monkeypatch.setattr("battery_core.training.steps.HostGuard", DeviceGuard)
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
    make_samples: Make, make_mlp: Make, guard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if guard == "device":
        monkeypatch.setattr("battery_core.training.steps.HostGuard", DeviceGuard)
    seen: list[NonFiniteLossError] = []
    original = Trainer._non_finite
    monkeypatch.setattr(
        Trainer, "_non_finite", lambda self, err, *rest: (seen.append(err), original(self, err, *rest))[1]
    )
    train = make_samples()
    train.x[37, 0] = np.inf
    model = make_mlp()
    history = Trainer(model, FAST | {"batch_size": 4}).fit(train)
    assert f"batch {seen[0].batch}," in history.stop_detail
    assert seen[0].batch > 0
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


def test_no_training_samples_is_an_error(make_mlp: Make) -> None:
    with pytest.raises(DataError, match=r"samples: expected at least one, got none"):
        Trainer(make_mlp(), FAST).fit([])


def test_biases_and_norms_are_spared_on_request() -> None:
    from battery_core.training.optim import make_optimizer
    from battery_core.training.settings import TrainerSettings

    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))
    groups = make_optimizer(model, TrainerSettings(decay_biases_and_norms=False)).param_groups
    assert [(g["weight_decay"], [p.ndim for p in g["params"]]) for g in groups] == [(0.01, [2, 2]), (0.0, [1, 1, 1, 1])]
    assert len(make_optimizer(model, TrainerSettings()).param_groups) == 1


def test_run_folder_of_the_tracker_gets_checkpoints_and_numbers(
    make_samples: Make, make_mlp: Make, tmp_path: Path
) -> None:
    tracker = LocalTracker(tmp_path, use_tensorboard=False)
    run_id = tracker.start_run("mlp", FAST)
    model = make_mlp()
    history = Trainer(model, FAST, tracker).fit(make_samples(), make_samples(2, first=9))
    tracker.end_run()
    lines = list(read_metrics(tmp_path / run_id))
    assert [line["metrics"]["val_loss"] for line in lines] == history["val_loss"]
    best = torch.load(tmp_path / run_id / "checkpoints" / "best.pt", weights_only=True)
    assert best["epoch"] == history.best_epoch
    assert all(torch.equal(best["model_state_dict"][k], v) for k, v in model.state_dict().items())


def test_a_tracker_without_open_run_gets_one(make_samples: Make, make_mlp: Make, tmp_path: Path) -> None:
    tracker = LocalTracker(tmp_path, use_tensorboard=False)
    Trainer(make_mlp(), FAST, tracker).fit(make_samples())
    tracker.end_run()
    (run,) = tmp_path.iterdir()
    assert "Sequential" in run.name


def test_a_tracker_without_folder_is_named(make_samples: Make, make_mlp: Make) -> None:
    class Nowhere(LocalTracker):
        run_dir = None

        def start_run(self, *args: Any, **kwargs: Any) -> str:
            return "nowhere"

    with pytest.raises(TrainingError, match=r"tracker Nowhere has no run folder after start_run: expected one"):
        Trainer(make_mlp(), FAST, Nowhere(use_tensorboard=False)).fit(make_samples())


def test_training_starts_from_pretrained_weights(make_samples: Make, make_mlp: Make, tmp_path: Path) -> None:
    Trainer(make_mlp(), FAST, run_dir=tmp_path).fit(make_samples())
    model, first = make_mlp(seed=9), make_mlp()
    best = tmp_path / "checkpoints" / "best.pt"
    Trainer(model, FAST | {"epochs": 0, "pretrained": str(best)}).fit(make_samples())
    first.load_state_dict(torch.load(best, weights_only=True)["model_state_dict"])
    assert same_weights(model, first)
    with pytest.raises(TrainingError, match=r"is of another model: .*size mismatch"):
        Trainer(make_mlp(features=5), FAST | {"pretrained": str(best)}).fit(make_samples(features=5))


def test_out_of_memory_halves_the_batch_and_goes_on(
    make_samples: Make, make_mlp: Make, caplog: pytest.LogCaptureFixture
) -> None:
    class Greedy(nn.Module):
        """Fits 8 rows into its memory."""

        def __init__(self, inner: nn.Module, rows: int) -> None:
            super().__init__()
            self.inner, self.rows = inner, rows

        def forward(self, x: Tensor) -> Tensor:
            if self.training and len(x) > self.rows:
                raise torch.OutOfMemoryError("CUDA out of memory (made up)")
            out: Tensor = self.inner(x)
            return out

    def train(rows: int) -> tuple[nn.Module, History]:
        model = Greedy(make_mlp(dropout=0.0), rows)
        return model, Trainer(model, FAST | {"batch_size": 30}).fit(make_samples())

    with caplog.at_level(logging.WARNING):
        small, history = train(rows=8)
    assert "out of memory with 30 check-ups at a time: going on with 15" in caplog.text
    assert "out of memory with 15 check-ups at a time: going on with 8" in caplog.text
    large, full = train(rows=1000)
    assert history["train_loss"] == pytest.approx(full["train_loss"], rel=1e-5)
    for a, b in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    with pytest.raises(TrainingError, match=r"out of memory with one check-up at a time"):
        train(rows=0)


def test_the_host_never_waits_inside_an_epoch(
    make_samples: Make, make_mlp: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the guard of a GPU, no number is read from the device between the first and the last step."""
    monkeypatch.setattr("battery_core.training.steps.HostGuard", DeviceGuard)
    reads = []
    inside = [False]
    original_item, original_epoch = Tensor.item, StepRunner._step
    monkeypatch.setattr(Tensor, "item", lambda self: (reads.append(1) if inside[0] else None, original_item(self))[1])

    def step(self: StepRunner, *args: Any) -> Any:
        inside[0] = True
        try:
            return original_epoch(self, *args)
        finally:
            inside[0] = False

    monkeypatch.setattr(StepRunner, "_step", step)
    Trainer(make_mlp(), FAST).fit(make_samples())
    assert reads == []
