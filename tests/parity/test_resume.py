"""A run that is killed goes on to the same final weights as one that is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from battery_core.training import BaseCallback

SCRIPT = textwrap.dedent("""
    import sys
    from pathlib import Path
    import numpy as np, torch
    from battery_core.data.samples.sample import SampleMeta, Samples
    from battery_core.models.mlp import MLPModel
    from battery_core.training import BaseCallback, Trainer

    def samples(n, seed):
        x = np.random.default_rng(seed).normal(size=(n, 5)).astype(np.float32)
        y = 0.9 + 0.05 * np.tanh(x[:, :1])
        return Samples(x, y, [SampleMeta(f"c{i // 10}", i % 10) for i in range(n)])

    def train(folder, callbacks=(), resume=None, loss=None, epochs=12):
        torch.manual_seed(7)
        model = MLPModel(5, [16, 8], dropout=0.3)
        config = dict(epochs=epochs, batch_size=16, learning_rate=0.03, scheduler_T0=3, device="cpu")
        config["early_stopping_patience"] = 6
        trainer = Trainer(model, config, callbacks=callbacks, run_dir=folder, loss_config=loss)
        history = trainer.fit(samples(150, 0), samples(40, 1), resume=resume)
        return model, history
""")


def namespace() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(SCRIPT, names)
    return names


class KilledError(Exception):
    pass


class Kill(BaseCallback):
    """Dies in the middle of an epoch."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.at = (epoch, batch)

    def on_batch_end(self, epoch: int, batch: int, loss: Any) -> None:
        if (epoch, batch) == self.at:
            raise KilledError


@pytest.mark.parametrize("loss", [None, {"name": "physics_informed", "monotonicity_weight": 0.1}])
@pytest.mark.parametrize("at", [(1, 0), (4, 5), (8, 9)])
def test_resume_equals_the_uninterrupted_run(at: tuple[int, int], loss: Any, tmp_path: Path) -> None:
    train = namespace()["train"]
    whole, history = train(tmp_path / "whole", loss=loss)
    with pytest.raises(KilledError):
        train(tmp_path / "killed", [Kill(*at)], loss=loss)
    torch.rand(5)
    resumed, again = train(tmp_path / "killed", resume=tmp_path / "killed", loss=loss)
    assert again.to_dict() == history.to_dict()
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_finished_run_may_be_made_longer(tmp_path: Path) -> None:
    train = namespace()["train"]
    train(tmp_path, epochs=3)
    longer, history = train(tmp_path, resume=tmp_path, epochs=6)
    whole, reference = train(tmp_path / "whole", epochs=6)
    assert history.to_dict() == reference.to_dict()
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, longer.state_dict()[name]), name


def test_sigkill_at_any_moment(tmp_path: Path) -> None:
    code = SCRIPT + textwrap.dedent("""
        import time
        class Slow(BaseCallback):
            def on_batch_end(self, epoch, batch, loss):
                time.sleep(0.005)
        train(Path(sys.argv[1]), [Slow()])
    """)
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    last = tmp_path / "checkpoints" / "last.pt"
    try:
        deadline = time.monotonic() + 60
        while not last.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.13)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert last.exists()
    done = torch.load(last, weights_only=True)["next_epoch"]
    assert 0 < done < 12
    train = namespace()["train"]
    whole, history = train(tmp_path / "whole")
    resumed, again = train(tmp_path, resume=tmp_path)
    assert again.to_dict() == history.to_dict()
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
