"""Steps within an epoch: too little memory, and a device that the host does not wait for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from battery_core.errors import TrainingError
from battery_core.training import History, Trainer
from battery_core.training.loop.eager import EagerBackend

Make = Callable[..., Any]
FAST: dict[str, Any] = {"epochs": 4, "batch_size": 16, "learning_rate": 0.01, "device": "cpu"}


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
    monkeypatch.setattr("battery_core.training.fast.fused.runs_ahead", lambda device: True)
    reads = []
    inside = [False]
    original_item, original_epoch = Tensor.item, EagerBackend._step
    monkeypatch.setattr(Tensor, "item", lambda self: (reads.append(1) if inside[0] else None, original_item(self))[1])

    def step(self: EagerBackend, *args: Any) -> Any:
        inside[0] = True
        try:
            return original_epoch(self, *args)
        finally:
            inside[0] = False

    monkeypatch.setattr(EagerBackend, "_step", step)
    Trainer(make_mlp(), FAST).fit(make_samples())
    assert reads == []
