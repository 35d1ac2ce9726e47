"""Does the physics-informed loss help? ``python -m tests.benchmarks.physics_ablation``: two sets, on and off, 5 seeds.

Honest protocol: cells are split, not rows; features are scaled on training cells; the error is the mean over test cells
of each cell's MAPE. Needs BATTERY__DATA__REFERENCE_ROOT.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from battery_core.data.samples.sample import SampleMeta, Samples
from battery_core.evaluation.metrics.per_cell import per_cell_errors
from battery_core.models.mlp import MLPModel
from battery_core.training import Trainer

SETS = {"xjtu": ("XJTU data", 4), "tju": ("TJU data", 4)}
LOSSES: dict[str, dict[str, Any]] = {
    "off (mse)": {"name": "mse"},
    "off, batches of segments": {"name": "physics_informed", "monotonicity_weight": 1e-12},
    "monotonicity 0.1, smoothness 0.05": {
        "name": "physics_informed", "monotonicity_weight": 0.1, "smoothness_weight": 0.05,
    },
    "monotonicity 0.01, smoothness 10": {
        "name": "physics_informed", "monotonicity_weight": 0.01, "smoothness_weight": 10.0,
    },
}  # fmt: skip


def load(name: str) -> dict[str, Samples]:
    """Every ``stride``-th cycle of each cell; cells dealt to train, val and test in turn, 3 : 1 : 1."""
    folder, stride = SETS[name]
    files = sorted(Path(os.environ["BATTERY__DATA__REFERENCE_ROOT"]).glob(f"**/{folder}/**/*.csv"))
    parts: dict[str, list[Any]] = {"train": [], "val": [], "test": []}
    order = np.random.default_rng(0).permutation(len(files))
    for place, i in enumerate(order):
        table = np.genfromtxt(files[i], delimiter=",", skip_header=1)
        cycle = np.arange(len(table))
        keep = np.isfinite(table).all(axis=1) & (cycle % stride == 0)
        x = np.column_stack([table[:, :16], cycle])[keep]
        meta = [SampleMeta(files[i].stem, int(c)) for c in cycle[keep]]
        parts[("train", "train", "train", "val", "test")[place % 5]].append(
            (x, table[keep, 16:17] / table[0, 16], meta)
        )
    rows = {k: tuple(map(np.concatenate, list(zip(*((x, y) for x, y, _ in v), strict=True)))) for k, v in parts.items()}
    mean, spread = rows["train"][0].mean(axis=0), rows["train"][0].std(axis=0) + 1e-9
    return {k: Samples((x - mean) / spread, y, [m for *_, ms in parts[k] for m in ms]) for k, (x, y) in rows.items()}


def error(trainer: Trainer, test: Samples) -> float:
    """Mean over cells of the MAPE of a cell, percent."""
    return per_cell_errors(test.cell_ids, test.y[:, 0], trainer.predict(test)[:, 0]).mean_mape


def main() -> None:
    """Print one table a set."""
    torch.set_num_threads(1)
    for name in SETS:
        data = load(name)
        print(f"\n{name}: {len(data['train'])} training rows; MAPE % of test cells, mean and spread over 5 seeds")
        for label, loss in LOSSES.items():
            errors = []
            for seed in range(5):
                torch.manual_seed(seed)
                model = MLPModel(17, [64, 32], dropout=0.1)
                config = {"epochs": 60, "seed": seed, "device": "cpu", "progress": False}
                trainer = Trainer(model, config, loss_config=loss)
                trainer.fit(data["train"], data["val"])
                errors.append(error(trainer, data["test"]))
            print(f"{label:36}{np.mean(errors):7.2f} +- {np.std(errors, ddof=1):.2f}", flush=True)


if __name__ == "__main__":
    main()
