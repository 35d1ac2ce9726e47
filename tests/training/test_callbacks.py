"""Callbacks: order of hooks, stop on request, exceptions, silence where nothing listens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from battery_core.training import BaseCallback, StopReason, Trainer
from battery_core.training.callbacks import Hooks

Make = Callable[..., Any]
FAST: dict[str, Any] = {"epochs": 2, "batch_size": 30, "device": "cpu"}


class Diary(BaseCallback):
    """Writes every hook down."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_train_start(self) -> None:
        self.lines.append("train start")

    def on_train_end(self, history: Any) -> None:
        self.lines.append(f"train end {history.stop_reason}")

    def on_epoch_start(self, epoch: int) -> None:
        self.lines.append(f"epoch {epoch}")

    def on_epoch_end(self, epoch: int, metrics: dict[str, float]) -> None:
        self.lines.append(f"epoch end {epoch} {sorted(metrics)}")

    def on_batch_start(self, epoch: int, batch: int) -> None:
        self.lines.append(f"batch {batch}")

    def on_batch_end(self, epoch: int, batch: int, loss: Any) -> None:
        self.lines.append(f"batch end {batch} {loss.ndim}")

    def on_checkpoint(self, path: Path) -> None:
        self.lines.append(path.name)

    def on_exception(self, error: BaseException) -> None:
        self.lines.append(f"exception {error}")


def test_hooks_are_called_in_order(make_samples: Make, make_mlp: Make, tmp_path: Path) -> None:
    diary = Diary()
    Trainer(make_mlp(), FAST | {"epochs": 1}, callbacks=[diary], run_dir=tmp_path).fit(make_samples(), make_samples(2))
    assert diary.lines == [
        "train start", "epoch 0", "batch 0", "batch end 0 0", "batch 1", "batch end 1 0",
        "best.pt", "last.pt", "epoch end 0 ['lr', 'train_loss', 'val_loss']", "train end epochs",
    ]  # fmt: skip


def test_a_callback_may_ask_to_stop(make_samples: Make, make_mlp: Make) -> None:
    class Enough(BaseCallback):
        def on_epoch_end(self, epoch: int, metrics: dict[str, float]) -> None:
            if epoch == 1:
                self.trainer.stop("good enough")

    history = Trainer(make_mlp(), FAST | {"epochs": 9}, callbacks=[Enough()]).fit(make_samples())
    assert (history.stop_reason, history.stop_detail) == (StopReason.REQUESTED, "good enough")
    assert len(history["lr"]) == 2


def test_an_exception_is_told_and_goes_on(make_samples: Make, make_mlp: Make, caplog: pytest.LogCaptureFixture) -> None:
    class Breaks(Diary):
        def on_batch_end(self, epoch: int, batch: int, loss: Any) -> None:
            raise KeyboardInterrupt("by hand")

    class BreaksTwice(BaseCallback):
        def on_exception(self, error: BaseException) -> None:
            raise ValueError("while telling")

    diary = Breaks()
    with pytest.raises(KeyboardInterrupt, match="by hand"):
        Trainer(make_mlp(), FAST, callbacks=[BreaksTwice(), diary]).fit(make_samples())
    assert diary.lines[-1] == "exception by hand"
    assert "failed in on_exception: while telling" in caplog.text


def test_hooks_nobody_overrides_cost_nothing(make_mlp: Make) -> None:
    hooks = Hooks([BaseCallback()], Trainer(make_mlp(), FAST))
    assert hooks.batch_start == hooks.batch_end == []


def test_progress_is_silent_when_not_a_terminal(
    make_samples: Make, make_mlp: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    Trainer(make_mlp(), FAST).fit(make_samples())
    assert capfd.readouterr() == ("", "")
