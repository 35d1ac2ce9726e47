"""Compare every model and baseline on public cells over several seeds; only missing models are trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from battery_core.artifacts import StageResult
from battery_core.data.settings import SplitSettings
from battery_core.data.splits.cell_split import CellSplit
from battery_core.data.splits.make import make_split
from battery_core.data.versioning.content import file_sha256
from battery_core.errors import TrainingError
from battery_core.evaluation.baselines import BASELINES, LEAK_PROBE, leak_probe
from battery_core.evaluation.benchmark.aggregate import aggregate, errors_by_cell
from battery_core.evaluation.benchmark.benchmarks import Benchmark, chosen_benchmarks
from battery_core.evaluation.metrics.per_cell import drop_reference_checkup
from battery_core.files import read_json, write_json, write_text
from battery_core.jobs import JobKilled, JobSpec, finished, none_left_behind, run_job
from battery_core.predictors.weighted_ensemble import NAME as ENSEMBLE
from battery_core.release.locking import hold_lock
from battery_core.reporting.formats import percent
from battery_core.reporting.tables.leaderboard import leaderboard_page, print_leaderboard
from battery_core.settings import Settings
from battery_core.stages.common import STAGE_FILE, read_table, source_of
from battery_core.stages.data.fetch import fetch
from battery_core.stages.data.normalize import normalize
from battery_core.stages.data.split import split
from battery_core.stages.evaluation.evaluate import predictions_for
from battery_core.stages.evaluation.published import leaking_errors
from battery_core.stages.evaluation.select import choose
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.registry import lock_file
from battery_core.stages.training.ensemble import build_ensemble
from battery_core.stages.training.job_specs import job_specs

_BASELINES = (*BASELINES, LEAK_PROBE)


@dataclass(frozen=True)
class BenchmarkRun:
    """The jobs of one benchmark and one seed."""

    benchmark: Benchmark
    settings: Settings
    specs: Sequence[JobSpec]

    @property
    def results(self) -> list[dict[str, Any]]:
        """Return the results of finished jobs, in the order of the models."""
        return [result for spec in self.specs if (result := finished(spec)) is not None]

    @property
    def is_done(self) -> bool:
        """Return whether every model of this seed is trained."""
        return len(self.results) == len(self.specs)


@dataclass(frozen=True)
class PreparedBenchmark:
    """A benchmark with its tables and its split."""

    benchmark: Benchmark
    settings: Settings
    tables: StageResult
    split: StageResult

    def rows(self) -> pd.DataFrame:
        """Return the labelled check-ups with their subset."""
        cells = CellSplit.from_json(self.split.path.read_text())
        return labelled_rows(self.tables.path, cells, self.settings.data.soh_reference)

    def run_with_seed(self, seed: int) -> BenchmarkRun:
        """Return the training jobs of one seed."""
        seeded = self.settings.model_copy(update={"seed": seed})
        return BenchmarkRun(self.benchmark, seeded, job_specs(seeded, self.tables, self.split))


def leaderboard(
    settings: Settings, benchmarks: Sequence[Benchmark], log: Callable[[str], None] = print
) -> dict[str, Any]:
    """Train missing models, evaluate every finished seed; write leaderboard.json, leaderboard.md and errors.parquet.

    Raises:
        TrainingError: jobs failed; the tables of the other jobs are written.
    """
    prepared = [prepare(settings, benchmark) for benchmark in benchmarks]
    seeds = range(settings.seed, settings.seed + settings.leaderboard.seeds)
    runs = [one.run_with_seed(seed) for seed in seeds for one in prepared if not one.benchmark.leaking]
    failures = [line for run in runs for line in _train(run, log)] if settings.leaderboard.train else []
    folder = settings.folder("artifacts") / "leaderboard"
    entries, errors = [], []
    for one in prepared:
        if one.benchmark.leaking:
            of_cells = leaking_errors(one.settings, one.rows(), one.tables.version, folder, log)
            progress = {"seeds_done": of_cells["seed"].nunique(), "seeds": settings.leaderboard.published_seeds}
        else:
            of_cells, progress = _errors(one, [run for run in runs if run.benchmark is one.benchmark])
        entries.append(_entry(one, of_cells) | progress)
        errors.append(of_cells.assign(benchmark=one.benchmark.name))
    content = {"benchmarks": entries, "models": list(settings.models), "soh_reference": settings.data.soh_reference}
    write_json(folder / "leaderboard.json", content)
    write_text(folder / "leaderboard.md", leaderboard_page(content))
    pd.concat(errors, ignore_index=True).to_parquet(folder / "errors.parquet", index=False)
    if failures:
        raise TrainingError(
            f"{len(failures)} jobs failed - run it again, finished jobs are kept; {'; '.join(failures)}"
        )
    return content


def prepare(settings: Settings, benchmark: Benchmark) -> PreparedBenchmark:
    """Fetch, normalize and split the cells of a benchmark; a held-out temperature gets a separate split file."""
    source, features = settings.data.model_copy(update={"source": benchmark.source}), settings.features
    if benchmark.history_sets and features.history_sets == ("auto",):
        features = features.model_copy(update={"history_sets": benchmark.history_sets})
    chosen = settings.model_copy(update={"data": source, "features": features})
    tables = normalize(chosen, fetch(chosen))
    is_held_out = bool(benchmark.test_temps_degC)
    cells = _split_by_temperature(chosen, benchmark, tables) if is_held_out else split(chosen, tables)
    return PreparedBenchmark(benchmark, chosen, tables, cells)


def _split_by_temperature(settings: Settings, benchmark: Benchmark, tables: StageResult) -> StageResult:
    """Split off all cells of the held-out temperature; validation cells are drawn from every other condition."""
    cells = read_table(tables.path, "cells")
    if benchmark.groups:
        cells = cells[cells["group"].isin(benchmark.groups)].reset_index(drop=True)
    strategy = SplitSettings(
        strategy="temperature", test_temps_degC=benchmark.test_temps_degC, seed=settings.split.seed,
        val_share=settings.split.val_share,
    )  # fmt: skip
    made = make_split(cells, strategy, source_of(settings))
    file = settings.folder("artifacts") / "leaderboard" / f"split-{benchmark.name}.json"
    write_text(file, made.to_json())
    return StageResult(file, file_sha256(file), False, f"{len(made.test)} test cells")


def _train(run: BenchmarkRun, log: Callable[[str], None]) -> list[str]:
    """Run the jobs without a result and return the failures; the lock covers one seed, so that other runs can start."""
    missing = [spec for spec in run.specs if finished(spec) is None]
    if not missing:
        return []
    name = f"leaderboard: {run.benchmark.name}, seed {run.settings.seed}"
    jobs, failures = run.settings.jobs, []
    with (
        hold_lock(lock_file(run.settings), name, log),
        ThreadPoolExecutor(jobs.concurrent) as pool,
        none_left_behind(),
    ):
        running = {pool.submit(run_job, spec, jobs.timeout_s, jobs.threads, _silent): spec for spec in missing}
        for done in as_completed(running):
            try:
                result = done.result()
            except (TrainingError, JobKilled) as err:
                failures.append(str(err))
                log(f"{name}: {err}")
            else:
                error = percent(result["val_mean_cell_mape"])
                log(f"{name}: {result['model']}: {error} on validation cells, trained in {result['seconds']:.0f} s")
    return failures


def _silent(line: str) -> None:
    """Drop the output of a job: its run folder has it, and a leaderboard has about two hundred jobs."""


def _errors(prepared: PreparedBenchmark, runs: Sequence[BenchmarkRun]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the errors of every model and baseline by cell and finished seed; and the weights of each ensemble."""
    rows, reference = prepared.rows(), prepared.settings.data.soh_reference
    train, test = rows[rows["subset"] == "train"], rows[rows["subset"] == "test"].reset_index(drop=True)

    def errors(model: str, seed: int, prediction: Any) -> pd.DataFrame:
        counted = drop_reference_checkup(test.assign(prediction=prediction), reference)
        return errors_by_cell(counted, counted["prediction"]).assign(model=model, seed=seed)

    baselines = {**BASELINES, LEAK_PROBE: leak_probe}
    tables = [errors(name, prepared.settings.seed, baseline(train, test)) for name, baseline in baselines.items()]
    weights, done = {}, [run for run in runs if run.is_done]
    for run in done:
        seed, folder = run.settings.seed, run.settings.folder("artifacts") / "runs"
        results = run.results
        ensemble = build_ensemble(run.settings, rows, results) or choose(results)  # a single model may be better
        named = {**{str(result["model"]): result for result in results}, ENSEMBLE: ensemble}
        for name, result in named.items():
            tables.append(errors(name, seed, predictions_for(folder / result["run_id"], test)))
        weights[str(seed)] = ensemble.get("parts") or {ensemble["model"]: 1.0}
    progress = {"ensemble_weights": weights, "seeds_done": len(done), "seeds": len(runs)}
    return pd.concat(tables, ignore_index=True), progress


def _entry(prepared: PreparedBenchmark, errors: pd.DataFrame) -> dict[str, Any]:
    """Return the entry of one benchmark in leaderboard.json."""
    cells = CellSplit.from_json(prepared.split.path.read_text())
    lines, benchmark = aggregate(errors), prepared.benchmark
    return {
        "benchmark": benchmark.name,
        "source": benchmark.source,
        "description": benchmark.description,
        "goal": benchmark.goal,
        "leaking": benchmark.leaking,
        "cells": {subset: len(getattr(cells, subset)) for subset in ("train", "val", "test")},
        "data_version": (read_json(prepared.tables.path / STAGE_FILE) or {}).get("raw_version", ""),
        "split_version": prepared.split.version,
        "models": [line for line in lines if line["model"] not in _BASELINES],
        "baselines": [line for line in lines if line["model"] in _BASELINES],
    }


def on_the_terminal(settings: Settings, names: Sequence[str], page: Path | None) -> int:
    """Make the leaderboard, print its tables, write its page where a file is given; return the exit code.

    Raises:
        SettingsError: a benchmark does not exist.
        TrainingError: jobs failed.
    """
    content = leaderboard(settings, chosen_benchmarks(names), lambda line: print(line, flush=True))
    print_leaderboard(content)
    if page is not None:
        write_text(page, leaderboard_page(content))
    print(f"leaderboard: {settings.folder('artifacts') / 'leaderboard' / 'leaderboard.md'}")
    return 0
