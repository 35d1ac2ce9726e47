"""What raw rows in and intervals out cost beside the bare model: ``python -m tests.benchmarks.scoring``.

A million made-up check-ups of a thousand cells go through the packed model (MLflow's schema, unit check, features,
scaling, model, intervals, training range) and, as finished feature arrays, through bare LightGBM and bare torch. Each
is a process of its own on one thread; the two take turns. Time is CPU time, because wall time on a busy machine says
little; memory is the peak above what the process held before it predicted. Weights are of realistic size; the LightGBM
model is fitted, the network is not, which changes no cost.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from battery_core.data.sources.base import CHARGE_STATISTICS
from battery_core.features.base import build_features
from battery_core.features.scaling import Scaler
from battery_core.features.settings import FeatureSettings
from battery_core.predictors.feature_pipeline import FeaturePipeline
from battery_core.predictors.pipeline import Pipeline
from battery_core.uncertainty.conformal import Conformal
from battery_core.uncertainty.training_domain import TrainingDomain

SETS = {
    "single": ("charge", "condition"),
    "history": ("charge", "condition", "recent_change", "early_deviation", "expanding_mean"),
}
GROUPS = ("2C", "3C", "R2.5", "R3", "RW", "Sim_satellite")
TREES, MEMBERS, WIDTHS = 600, 5, (128, 64)
BAR = 1.3


def made_up(n_rows: int, n_cells: int) -> pd.DataFrame:
    """Charge statistics that drift as a cell ages, cell after cell."""
    rng = np.random.default_rng(0)
    each = n_rows // n_cells
    index = np.tile(np.arange(each), n_cells)
    cell = np.repeat(np.arange(n_cells), each)
    drift = index / each
    rows = {
        "cell_id": np.char.add("cell-", cell.astype(str)),
        "checkup_index": index,
        "cycle_count": index.astype(float),
    }
    for i, name in enumerate(CHARGE_STATISTICS):
        level = 1.0 + i / 10
        rows[name] = level + 0.1 * level * drift + rng.normal(0, 0.02, n_cells)[cell] + rng.normal(0, 0.01, len(cell))
    rows["group"] = np.array(GROUPS)[cell % len(GROUPS)]
    rows["ambient_temperature_degC"] = 25.0
    return pd.DataFrame(rows)


def pipeline_of(name: str, sets: tuple[str, ...], rows: pd.DataFrame) -> Pipeline:
    """A pipeline of realistic size."""
    settings = FeatureSettings(sets=sets, groups=GROUPS)
    table = build_features(rows, sets, settings)
    scaler = Scaler.fit(table.to_numpy(), list(table.columns))
    x, y = scaler.transform(table.to_numpy()), 1.0 - 0.2 * rows["checkup_index"].to_numpy() / 1000
    model: Any
    if name == "lgbm":
        from battery_core.models.lgbm import LGBMModel

        model = LGBMModel(n_estimators=TREES, early_stopping_rounds=None, num_threads=1).fit(x, y)
    else:
        from battery_core.models.mlp import MLPModel

        model = MLPModel(x.shape[1], hidden_dims=WIDTHS, dropout=0.0, n_members=MEMBERS)
    features = FeaturePipeline(settings, tuple(table.columns), tuple(rows.columns), scaler)
    pipeline = Pipeline(name, model, features, 0.9, 0.01, metadata={"source": "made up"})
    return dataclasses.replace(
        pipeline,
        conformal=Conformal.conformalize(y, pipeline.predict(rows), rows["cell_id"]),
        training_domain=TrainingDomain.of(rows, rows.columns),
    )


def prepare(folder: Path, n_rows: int, sets: tuple[str, ...]) -> dict[str, str]:
    """Raw rows, finished features and packed models on disk; URIs of the models."""
    import mlflow

    from battery_core.release.package.mlflow_model import log_pipeline
    from battery_core.tracking.mlflow_tracker import ensure_store

    rows = made_up(n_rows, max(n_rows // 1000, 1))
    rows.to_parquet(folder / "rows.parquet")
    uris = {}
    ensure_store(uri := f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_tracking_uri(uri)
    experiment = mlflow.create_experiment("scoring", artifact_location=(folder / "artifacts").as_uri())
    for name in ("lgbm", "mlp"):
        pipeline = pipeline_of(name, sets, made_up(20_000, 20))
        pipeline.save(folder / name)
        with mlflow.start_run(experiment_id=experiment):
            logged = mlflow.artifacts.download_artifacts(log_pipeline(folder / name))
        uris[name] = str(logged)
        np.save(folder / f"{name}.npy", pipeline.feature_pipeline.transform(rows))
    return uris


def bare(folder: Path, name: str) -> tuple[float, float, float]:
    """The library's own prediction of finished features."""
    x = np.load(folder / f"{name}.npy")
    if name == "lgbm":
        import lightgbm

        booster = lightgbm.Booster(model_file=folder / name / "model" / "target_0.txt")
        booster.predict(x[:1000], num_threads=1)
        return measured(lambda: booster.predict(x, num_threads=1))
    import torch

    from battery_core.models.mlp import MLPModel

    model, features = MLPModel.load(folder / name / "model"), torch.as_tensor(x, dtype=torch.float32)

    def forward(rows: Any) -> Any:
        with torch.no_grad():
            return torch.cat([model(rows[i : i + 8192]).mean(dim=0) for i in range(0, len(rows), 8192)])

    forward(features[:1000])  # setup on the first call
    return measured(lambda: forward(features))


def packed(folder: Path, uri: str) -> tuple[float, float, float]:
    """The packed model on raw rows."""
    import mlflow

    model, rows = mlflow.pyfunc.load_model(uri), pd.read_parquet(folder / "rows.parquet")
    model.predict(rows.head(1000))  # imports on the first call
    return measured(lambda: model.predict(rows))


def measured(work: Any) -> tuple[float, float, float]:
    """CPU seconds, wall seconds and the peak memory in MB above what was held before."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, cpu, wall = _memory_MB("VmRSS"), time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return cpu, wall, _memory_MB("VmHWM") - before


def _memory_MB(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def run_process(*arguments: str) -> list[float]:
    """One measurement."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "tests.benchmarks.scoring", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    numbers: list[float] = json.loads(done.stdout.splitlines()[-1])
    return numbers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--features", choices=SETS, nargs="+", default=["single"])
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        kind, folder, model = arguments.one
        print(json.dumps(bare(Path(folder), model) if kind == "bare" else packed(Path(folder), model)))
        return
    for features in arguments.features:
        with tempfile.TemporaryDirectory() as scratch:
            uris = prepare(Path(scratch), arguments.rows, SETS[features])
            for name, uri in uris.items():
                pairs = [
                    (run_process("--one", "bare", scratch, name), run_process("--one", "packed", scratch, uri))
                    for _ in range(arguments.rounds)
                ]
                line = [
                    statistics.median(column) for side in zip(*pairs, strict=True) for column in zip(*side, strict=True)
                ]
                ratio = statistics.median(ours[0] / theirs[0] for theirs, ours in pairs)
                print(
                    f"{features} {name}: bare {line[0]:.2f} s CPU ({line[1]:.2f} s wall, {line[2]:.0f} MB), packed "
                    f"{line[3]:.2f} s CPU ({line[4]:.2f} s wall, {line[5]:.0f} MB): {ratio:.2f} x, bar {BAR} x",
                    flush=True,
                )


if __name__ == "__main__":
    main()
