"""What a training leaves in its run folder, and weights it starts from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from battery_core.errors import TrainingError
from battery_core.tracking.local_tracker import LocalTracker, read_metrics
from battery_core.training import Trainer

Make = Callable[..., Any]
FAST: dict[str, Any] = {"epochs": 4, "batch_size": 16, "learning_rate": 0.01, "device": "cpu"}


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


def test_training_starts_from_pretrained_weights(
    make_samples: Make, make_mlp: Make, same_weights: Make, tmp_path: Path
) -> None:
    Trainer(make_mlp(), FAST, run_dir=tmp_path).fit(make_samples())
    model, first = make_mlp(seed=9), make_mlp()
    best = tmp_path / "checkpoints" / "best.pt"
    Trainer(model, FAST | {"epochs": 0, "pretrained": str(best)}).fit(make_samples())
    first.load_state_dict(torch.load(best, weights_only=True)["model_state_dict"])
    assert same_weights(model, first)
    with pytest.raises(TrainingError, match=r"is of another model: .*size mismatch"):
        Trainer(make_mlp(features=5), FAST | {"pretrained": str(best)}).fit(make_samples(features=5))
