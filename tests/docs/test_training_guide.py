"""Every Python block of the training guide runs, in order, as a reader would run it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from battery_core.data.samples.sample import Sample, SampleMeta

GUIDE = Path(__file__).parents[2] / "docs" / "training-guide.md"


def made_up_samples(n_checkups: int = 8) -> list[Sample]:
    """Two cells at each of three temperatures that lose 1 % a check-up; numpy and torch features by turns."""
    rng = np.random.default_rng(0)
    samples = []
    for cell, temperature in enumerate([10, 10, 25, 25, 40, 40]):
        for checkup in range(n_checkups):
            x = np.array([checkup / n_checkups, temperature / 40, rng.normal()], dtype=np.float32)
            meta = SampleMeta(f"cell-{cell}", checkup, float(temperature))
            samples.append(Sample(meta, torch.from_numpy(x) if cell % 2 else x, np.array([1 - 0.01 * checkup])))
    return samples


def test_guide_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    samples = made_up_samples()
    names: dict[str, Any] = {"all_samples": samples, "train_samples": samples[:32], "val_samples": samples[32:]}
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 14
    printed = []
    for number, block in enumerate(blocks):
        exec(compile(block, f"{GUIDE.name} block {number}", "exec"), names)
        printed.append(capsys.readouterr().out)
    said = "".join(printed)
    assert "RMSE: 0.0100\nMAE:  0.0100\nMAPE: 1.11%\nR²:   0.9400\n" in said
    assert "['mse', 'physics_informed', 'huber', 'mape', 'mae']" in said
    run = tmp_path / "artifacts" / "runs" / names["run_id"]
    best = torch.load(run / "checkpoints" / "best.pt", weights_only=True)
    torch.testing.assert_close(best["model_state_dict"], names["model"].state_dict(), rtol=0, atol=0)
    sent = json.loads((run / "mlflow.json").read_text())
    assert [store["status"] for store in sent.values()] == ["FINISHED"]
    assert len(names["history"]["val_loss"]) == len(names["history"]["lr"])
