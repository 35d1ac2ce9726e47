"""How often the gate promotes by chance, and how often it sees a model that is 10 % better: 200 simulations each.

``python -m tests.benchmarks.promotion_errors [RUNS [SIMULATIONS]]`` reads the predictions of finished runs
(``artifacts/runs``) and takes every source and model that was trained with two seeds or more. A simulation draws
test cells with replacement and two different seeds: one is the champion, the other, its errors reduced by the given
share, is the challenger. The noise between two trainings is drawn in three ways:

- *swapped*: for each cell one of the two seeds is drawn as the challenger. So the two are equal in truth, and the noise
  is as measured, in every cell.
- *whole seeds*: one seed is the challenger in all cells. Where it is truly better on these cells by a few percent, its
  promotion is counted as chance.
- *even*: noise is drawn anew for each cell, as large in all of them (lognormal). The models are equal in truth, and a
  gain is harder to see, since in fact cells with small errors vary most.

The rule is the product's own. Train seeds with ``python -m battery_core leaderboard --boards xjtu,tju,hust``.
"""

from __future__ import annotations

import itertools
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from battery_core.evaluation.metrics.per_cell import per_cell_errors
from battery_core.files import read_json
from battery_core.predictors.weighted_ensemble import ENSEMBLE_FILE
from battery_core.release.promotion import ComparisonInputs, decide
from battery_core.release.settings import ReleaseSettings
from battery_core.settings import resolve
from battery_core.stages.training.candidate import PIPELINE_FOLDER, PREDICTIONS_FILE

SIMULATIONS = 200
DRAWN = ("swapped", "whole seeds", "even")
POLICY = ReleaseSettings(required_baselines=(), slice_checks=("worst_cell",))


def cell_errors(file: Path) -> pd.Series:
    """Mean absolute percentage error of each test cell, %."""
    predictions = pd.read_parquet(file)
    predictions = predictions[predictions["subset"] == "test"]
    errors = per_cell_errors(predictions["cell_id"], predictions["soh"], predictions["prediction"])
    return pd.Series(errors.mape, index=errors.cell_ids)


def seeds(runs: Path) -> dict[tuple[str, str, str], list[pd.Series]]:
    """Errors of each source, split and model, a series a seed; one run a seed, the latest."""
    latest: dict[tuple[str, str, str, int], Path] = {}
    for result in sorted(runs.glob("*/result.json"), key=lambda file: file.stat().st_mtime):
        spec = spec_of(result.parent)
        if spec and (result.parent / PREDICTIONS_FILE).is_file():
            model = (read_json(result) or {})["model"]
            latest[spec["settings"]["data"]["source"], spec["data_hash"], model, spec["settings"]["seed"]] = (
                result.parent
            )
    by_model = defaultdict(list)
    for (source, data_hash, model, _), folder in latest.items():
        by_model[source, data_hash, model].append(cell_errors(folder / PREDICTIONS_FILE))
    return {name: errors for name, errors in by_model.items() if len(errors) > 1}


def spec_of(run: Path) -> dict[str, Any] | None:
    """The spec of a run; for a blend that of its first part, which has its source, split and seed."""
    mix = read_json(run / PIPELINE_FOLDER / ENSEMBLE_FILE)
    first = next(iter(mix["facts"]["parts"])) if mix else run.name
    return read_json(run.parent / first / "spec.json")


def promoted(errors: pd.DataFrame, better: float, drawn: str = "swapped", simulations: int = SIMULATIONS) -> float:
    """Return the share of simulations that promote a model with errors reduced by ``better``.

    Args:
        errors: of each cell, a column a seed.
        better: share by which the errors of the challenger are smaller.
        drawn: how the noise is drawn.
        simulations: how many.
    """
    generator, values = np.random.default_rng(0), errors.to_numpy()
    pairs = list(itertools.permutations(range(values.shape[1]), 2))
    typical, spread = np.log(values).mean(axis=1), noise(errors)
    wins = 0
    for simulation in range(simulations):
        cells = generator.integers(0, len(values), len(values))
        if drawn == "even":
            ours, theirs = (np.exp(typical[cells] + generator.normal(0, spread, len(cells))) for _ in range(2))
        else:
            ours, theirs = values[cells][:, pairs[simulation % len(pairs)]].T
        if drawn == "swapped":
            turned = generator.random(len(cells)) < 0.5
            ours, theirs = np.where(turned, theirs, ours), np.where(turned, ours, theirs)
        names = [str(i) for i in range(len(cells))]
        inputs = ComparisonInputs(
            dict(zip(names, ours * (1 - better), strict=True)), dict(zip(names, theirs, strict=True)), "the champion",
            {}, len(names), len(names),
        )  # fmt: skip
        wins += decide(inputs, POLICY).promote
    return wins / simulations


def noise(errors: pd.DataFrame) -> float:
    """By what share the error of a cell differs between seeds (standard deviation of logarithms)."""
    return float(np.sqrt(np.log(errors.to_numpy()).var(axis=1, ddof=1).mean()))


def main() -> int:
    """Print the table."""
    runs = Path(sys.argv[1]) if len(sys.argv) > 1 else resolve().folder("artifacts") / "runs"
    simulations = int(sys.argv[2]) if len(sys.argv) > 2 else SIMULATIONS
    by_model = seeds(runs)
    if not by_model:
        print(f"no source and model with two seeds below '{runs}': see python -m tests.benchmarks.promotion_errors -h")
        return 1
    print(f"{simulations} simulations each, {POLICY.confidence:.0%} confidence, {POLICY.min_improvement:.0%} margin")
    print("source model | test cells | seeds | noise a cell | promoted when equal, 10 % better: " + " | ".join(DRAWN))
    for (source, _, model), series in sorted(by_model.items(), key=lambda item: item[0]):
        errors = pd.concat(series, axis=1)
        rates = " | ".join(
            f"{promoted(errors, 0.0, drawn, simulations):.1%}, {promoted(errors, 0.1, drawn, simulations):.1%}"
            for drawn in DRAWN
        )
        print(f"{source} {model} | {len(errors)} | {len(series)} | {noise(errors):.1%} | {rates}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
