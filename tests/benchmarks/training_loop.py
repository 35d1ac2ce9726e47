"""How long an epoch takes, beside loops by hand, Lightning and skorch: ``python -m tests.benchmarks.training_loop``.

Competitors take turns in one process, so that a busy machine slows all of them; ratios are of medians over epochs.
The first epoch of each turn is left out (for ``compile`` it holds the compiling, which is told apart). Times are CPU
seconds; on a GPU they are wall-clock seconds, with mixed precision and how busy the GPU was beside. With
BATTERY__DATA__REFERENCE_ROOT the rows are those of XJTU and HUST, without it made-up ones of the same number.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchdiffeq import odeint

from battery_core.data.samples.sample import SampleMeta, Samples
from battery_core.models.lstm_attention import LSTMAttentionModel
from battery_core.models.mlp import MLPModel
from battery_core.models.neural_ode import NeuralODEModel
from battery_core.training import Trainer
from tests.benchmarks import loops
from tests.benchmarks.gpu_use import gpu_use
from tests.benchmarks.loops import Timed

ROWS = {"xjtu": 23297, "hust": 144366}
FOLDERS = {"xjtu": "XJTU data", "hust": "HUST data"}
first_epoch: dict[str, float] = {}
Loop = Callable[[], Timed | None]


def load(name: str) -> Samples:
    """Rows (N, 17) and SOH (N, 1): sixteen charge statistics and the cycle number, scaled over all rows."""
    root = os.environ.get("BATTERY__DATA__REFERENCE_ROOT")
    found = list(Path(root).glob(f"**/{FOLDERS[name]}/*.csv")) if root else []
    if not found:
        x = np.random.default_rng(0).normal(size=(ROWS[name], 17))
        soh = 0.9 + 0.05 * np.tanh(x[:, :1]) + 0.02 * x[:, 1:2]
        return Samples(x, soh, [SampleMeta("made-up", i) for i in range(len(x))])
    tables = [np.genfromtxt(file, delimiter=",", skip_header=1) for file in sorted(found)]
    rows = np.concatenate([np.column_stack([table[:, :16], np.arange(len(table))]) for table in tables])
    capacity = np.concatenate([table[:, 16] for table in tables])
    whole = np.isfinite(rows).all(axis=1) & np.isfinite(capacity)
    x = rows[whole]
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)
    return Samples(x, (capacity / np.nanmax(capacity))[whole, None], [SampleMeta(name, i) for i in range(whole.sum())])


def mlp(n_members: int = 1) -> nn.Module:
    return MLPModel(17, [64, 32], dropout=0.1, n_members=n_members)


class PlainODE(nn.Module):
    """The same Neural ODE as people write it: torchdiffeq's dopri5 with its default tolerances."""

    def __init__(self, inner: NeuralODEModel) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, mask: Tensor | None = None, t: Tensor | None = None) -> Tensor:
        import battery_core.models.nn.ode as ode

        def solve(rate: nn.Module, state: Tensor, times: Tensor, *settings: Any) -> Tensor:
            span = times[:, 1:] - times[:, :1]
            ends = torch.tensor([0.0, 1.0], device=state.device)
            return odeint(lambda s, z: span * rate(z), state, ends).transpose(0, 1)

        import battery_core.models.neural_ode as module

        module.integrate, ours = solve, ode.integrate
        try:
            out: Tensor = self.inner(x, mask, t)
        finally:
            module.integrate = ours
        return out


def histories(n: int, steps: int, features: int = 8) -> Samples:
    """Padded histories with days of their own."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, steps, features))
    mask = np.arange(steps) < rng.integers(2, steps + 1, n)[:, None]
    t = np.cumsum(rng.uniform(5, 40, (n, steps)), axis=1) * mask
    last = mask.sum(axis=1) - 1
    soh = 0.9 + 0.05 * np.tanh(x[np.arange(n), last, :1]) - t[np.arange(n), last, None] / 50000
    return Samples(x, soh, [SampleMeta(f"c{i}") for i in range(n)], mask, t)


def compare(title: str, entries: dict[str, Loop], base: str, rounds: int, device: str) -> dict[str, float]:
    """Run all in turns; print and give the median epoch of each."""
    times: dict[str, list[float]] = {name: [] for name in entries}
    busy: dict[str, float | None] = {}
    first: dict[str, float] = {}
    losses: dict[str, float] = {}
    for _ in range(rounds):
        for name, run in entries.items():
            with gpu_use(device) as use:
                timed = run()
            if timed is None:
                continue
            busy[name] = use.percent
            first.setdefault(name, timed.epochs[0])
            times[name] += timed.epochs[1:]
            losses[name] = timed.loss
    medians = {name: median(values) for name, values in times.items() if values}
    first_epoch.update(first)
    print(f"\n{title}\n{'':34}{'s/epoch':>10}{'ratio':>8}{'first':>8}{'loss':>12}{'GPU busy %':>12}")
    for name in entries:
        if name in medians:
            ratio = medians[name] / medians[base]
            share = "-" if busy[name] is None else f"{busy[name]:.0f}"
            print(
                f"{name:34}{medians[name]:10.4f}{ratio:8.2f}{first[name]:8.2f}{losses[name]:12.3e}{share:>12}",
                flush=True,
            )
        else:
            print(f"{name:34}{'not installed':>18}")
    return medians


def tables(device: str, epochs: int, rounds: int, names: list[str], batches: list[int]) -> None:
    bare = "(b) resident tensors by hand"
    for name in names:
        samples = load(name)
        short = epochs if name == "xjtu" else max(2, epochs // 3)
        for batch in batches:
            args = (mlp, samples, batch, short, device)
            entries: dict[str, Loop] = {
                "Trainer": partial(loops.ours, *args),
                bare: partial(loops.resident, *args),
                "(a) DataLoader by hand": partial(loops.dataloader, *args, fused=False),
                "(a) the same, fused AdamW": partial(loops.dataloader, *args),
                "(c) Lightning": partial(loops.lightning, *args, fused=False),
                "(c) the same, fused AdamW": partial(loops.lightning, *args),
                "(d) skorch": partial(loops.skorch, *args, fused=False),
                "(d) the same, fused AdamW": partial(loops.skorch, *args),
                "(e) floor, fixed batch": partial(loops.floor, *args),
                "Trainer, compiled": partial(loops.ours, *args, backend="compiled"),
                "Trainer, ensemble of 10": partial(loops.ours, partial(mlp, 10), *args[1:]),
                "Trainer, ensemble of 10, compiled": partial(
                    loops.ours, partial(mlp, 10), *args[1:], backend="compiled"
                ),
            }
            if device == "cuda":
                entries["Trainer, AMP"] = partial(loops.ours, *args, use_amp=True)
            got = compare(f"{name}, {len(samples)} rows, batch {batch}, MLP 17-64-32-1", entries, bare, rounds, device)
            ratios = [got[f"Trainer, ensemble of 10{how}"] / got["Trainer"] for how in ("", ", compiled")]
            print(f"  ensemble of 10 / one run: {ratios[0]:.2f}, compiled {ratios[1]:.2f}")
            saved = got["Trainer"] - got["Trainer, compiled"]
            print(f"  compiled pays from epoch {first_epoch['Trainer, compiled'] / max(saved, 1e-9):.0f} on")


def sequence_tables(device: str, epochs: int, rounds: int) -> None:
    samples = histories(1280, 50)
    lstm = partial(LSTMAttentionModel, 8, 64)
    entries: dict[str, Loop] = {
        "Trainer": partial(loops.ours, lstm, samples, 32, epochs, device),
        "by hand": partial(loops.resident, lstm, samples, 32, epochs, device, ("mask", "t")),
    }
    if device == "cuda":
        entries["Trainer, AMP"] = partial(loops.ours, lstm, samples, 32, epochs, device, use_amp=True)
    compare("LSTM with attention, hidden 64, T 50, 1280 histories, batch 32", entries, "by hand", rounds, device)
    ode = partial(NeuralODEModel, 8)
    few = histories(640, 20)
    entries = {
        "Trainer, rk4": partial(loops.ours, ode, few, 32, epochs, device),
        "plain torchdiffeq dopri5": partial(
            loops.resident, lambda: PlainODE(NeuralODEModel(8)), few, 32, epochs, device, ("mask", "t")
        ),
    }
    compare(
        "Neural ODE, 640 irregular histories of up to 20 check-ups, batch 32",
        entries,
        "plain torchdiffeq dopri5",
        rounds,
        device,
    )
    _equal_validation_loss(few, device)


def _equal_validation_loss(samples: Samples, device: str) -> None:
    train, val = samples[:512], samples[512:]
    losses = {}
    for name, wrap in (("rk4", lambda m: m), ("plain dopri5", PlainODE)):
        torch.manual_seed(0)
        model = wrap(NeuralODEModel(8))
        config = {"epochs": 12, "device": device, "progress": False}
        losses[name] = min(Trainer(model, config).fit(train, val)["val_loss"])
    print(f"  best validation loss: {losses}, ratio {losses['rk4'] / losses['plain dopri5']:.3f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--epochs", type=int, default=4, help="epochs a turn; the first is left out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--batches", type=int, nargs="*", default=[32, 256], help="batch sizes")
    given = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    print(f"torch {torch.__version__}, {given.device}, one thread; medians of {given.rounds} turns in one process")
    tables(given.device, given.epochs, given.rounds, given.data, given.batches)
    sequence_tables(given.device, given.epochs, given.rounds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\npeak memory of all of this in one process {peak:.0f} MB; {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
