"""What the Trainer promises: the same weights for the same seed, its history, and the best weights at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from battery_core.errors import DataError
from battery_core.training import StopReason, Trainer

Make = Callable[..., Any]
FAST: dict[str, Any] = {"epochs": 4, "batch_size": 16, "learning_rate": 0.01, "device": "cpu"}


def test_same_seed_same_weights_other_seed_other_weights(
    make_samples: Make, make_mlp: Make, same_weights: Make
) -> None:
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


def test_zero_epochs_trains_nothing(make_samples: Make, make_mlp: Make, same_weights: Make) -> None:
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


def test_no_training_samples_is_an_error(make_mlp: Make) -> None:
    with pytest.raises(DataError, match=r"samples: expected at least one, got none"):
        Trainer(make_mlp(), FAST).fit([])
