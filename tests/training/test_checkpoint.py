"""Checkpoints: whole or not there, no pickle, refused with a reason."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from battery_core.errors import TrainingError
from battery_core.training import Trainer
from battery_core.training.checkpoint import load_checkpoint, random_state, restore_random_state, save_checkpoint

Make = Callable[..., Any]
FAST: dict[str, Any] = {"epochs": 2, "batch_size": 16, "device": "cpu"}


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint({"model_state_dict": {}, "epoch": 1}, path)

    def broken(*args: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint({"model_state_dict": {}, "epoch": 2}, path)
    assert load_checkpoint(path)["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_random_state_goes_on_where_it_was() -> None:
    import random

    def draw() -> list[float]:
        return [torch.rand(1).item(), float(np.random.rand()), random.random()]

    cpu = torch.device("cpu")
    state = random_state(cpu)
    first = draw()
    restore_random_state(state, cpu)
    assert draw() == first


def test_a_folder_stands_for_its_last_checkpoint(tmp_path: Path) -> None:
    save_checkpoint({"model_state_dict": {}, "epoch": 3}, tmp_path / "checkpoints" / "last.pt")
    assert load_checkpoint(tmp_path)["epoch"] == load_checkpoint(tmp_path / "checkpoints")["epoch"] == 3


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"there is no such file, and no 'last.pt' in it"):
        load_checkpoint(tmp_path / "nowhere")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(TrainingError, match=r"text.pt' (cannot be read|holds more than tensors)"):
        load_checkpoint(tmp_path / "text.pt")
    torch.save({"other": 1}, tmp_path / "other.pt")
    with pytest.raises(TrainingError, match=r"other.pt': expected a 'model_state_dict' in it"):
        load_checkpoint(tmp_path / "other.pt")
    torch.save({"model_state_dict": {}, "x": Path("/")}, tmp_path / "pickle.pt")
    with pytest.raises(TrainingError, match=r"pickle.pt' holds more than tensors and plain values: it is refused"):
        load_checkpoint(tmp_path / "pickle.pt")
    assert pickle.dumps  # the module itself is fine; its files are not


def test_half_a_checkpoint_is_refused(tmp_path: Path) -> None:
    save_checkpoint({"model_state_dict": {"w": torch.zeros(1000)}}, tmp_path / "last.pt")
    (tmp_path / "last.pt").write_bytes((tmp_path / "last.pt").read_bytes()[:2000])
    with pytest.raises(TrainingError, match=r"last.pt' cannot be read: .* - take an older one"):
        load_checkpoint(tmp_path)


def test_resume_refuses_another_training(make_samples: Make, make_mlp: Make, tmp_path: Path) -> None:
    train, val = make_samples(), make_samples(2, first=9)
    Trainer(make_mlp(), FAST, run_dir=tmp_path).fit(train, val)
    with pytest.raises(TrainingError, match=r"resume: settings differ .*learning_rate was 0.001, is 0.5"):
        Trainer(make_mlp(), FAST | {"learning_rate": 0.5}).fit(train, val, resume=tmp_path)
    with pytest.raises(TrainingError, match=r"resume: the training data are not those of the checkpoint"):
        Trainer(make_mlp(), FAST).fit(make_samples(seed=1), val, resume=tmp_path)
    with pytest.raises(TrainingError, match=r"holds weights only .*resume from 'last.pt'"):
        Trainer(make_mlp(), FAST).fit(train, val, resume=tmp_path / "checkpoints" / "best.pt")
    with pytest.raises(TrainingError, match=r"is of another model: .*Missing key"):
        Trainer(torch.nn.Linear(4, 1), FAST).fit(train, val, resume=tmp_path)


def test_a_finished_run_is_not_trained_again(make_samples: Make, make_mlp: Make, tmp_path: Path) -> None:
    model, again = make_mlp(), make_mlp(seed=3)
    first = Trainer(model, FAST, run_dir=tmp_path).fit(make_samples(), make_samples(2, first=9))
    second = Trainer(again, FAST, run_dir=tmp_path).fit(make_samples(), make_samples(2, first=9), resume=tmp_path)
    assert second.to_dict() == first.to_dict()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
