"""Every model and baseline on public cells over several seeds: what is not trained yet is trained, the rest stands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from battery_core.data.settings import SplitSettings
from battery_core.data.splits.cell_split import CellSplit
from battery_core.data.splits.make import make_split
from battery_core.data.versioning.content import file_sha256
from battery_core.errors import TrainingError
from battery_core.evaluation.baselines import BASELINES, LEAK_PROBE, leak_probe
from battery_core.evaluation.benchmark.aggregate import aggregate, cell_errors
from battery_core.evaluation.benchmark.benchmarks import Benchmark, chosen_benchmarks
from battery_core.evaluation.metrics.per_cell import drop_reference_checkup
from battery_core.files import read_json, write_json, write_text
from battery_core.jobs import JobKilled, JobSpec, finished, none_left_behind, run_job
from battery_core.predictors.weighted_ensemble import NAME as ENSEMBLE
from battery_core.release.locking import one_at_a_time
from battery_core.reporting.tables.leaderboard import as_page
from battery_core.reporting.tables.report import percent
from battery_core.settings import Settings
from battery_core.stages import StageResult
from battery_core.stages.data import fetch as data
from battery_core.stages.evaluation.evaluate import choose, predictions_for
from battery_core.stages.evaluation.published import leaking_errors
from battery_core.stages.registry import lock_file
from battery_core.stages.training.ensemble import blend
from battery_core.stages.training.job_specs import job_specs
from battery_core.stages.training.train import labelled_rows

_BASELINES = (*BASELINES, LEAK_PROBE)


@dataclass(frozen=True)
class BenchmarkRun:
    """The jobs of one board and one seed."""

    board: Benchmark
    settings: Settings
    specs: Sequence[JobSpec]

    @property
    def results(self) -> list[dict[str, Any]]:
        """Results of the jobs that are done, in the order of the models."""
        return [result for spec in self.specs if (result := finished(spec)) is not None]

    @property
    def done(self) -> bool:
        """Whether every model of this seed has ended."""
        return len(self.results) == len(self.specs)


@dataclass(frozen=True)
class Place:
    """A board with the tables and the split that it is judged on."""

    board: Benchmark
    settings: Settings
    tables: StageResult
    split: StageResult

    def rows(self) -> pd.DataFrame:
        """Labelled check-ups with the part of the split they are in."""
        cells = CellSplit.from_json(self.split.path.read_text())
        return labelled_rows(self.tables.path, cells, self.settings.data.soh_reference)

    def seat(self, seed: int) -> BenchmarkRun:
        """What has to be trained for one seed."""
        seeded = self.settings.model_copy(update={"seed": seed})
        return BenchmarkRun(self.board, seeded, job_specs(seeded, self.tables, self.split))


def leaderboard(settings: Settings, boards: Sequence[Benchmark], say: Callable[[str], None] = print) -> dict[str, Any]:
    """Train what is missing, score every finished seed, and write leaderboard.json, leaderboard.md and errors.parquet.

    Raises:
        TrainingError: jobs failed; the tables of the others are written all the same.
    """
    places = [prepare(settings, board) for board in boards]
    seeds = range(settings.seed, settings.seed + settings.leaderboard.seeds)
    honest = [place.seat(seed) for seed in seeds for place in places if not place.board.leaking]
    failures = [line for seat in honest for line in _train(seat, say)] if settings.leaderboard.train else []
    folder = settings.folder("artifacts") / "leaderboard"
    told, errors = [], []
    for place in places:
        if place.board.leaking:
            found = leaking_errors(place.settings, place.rows(), place.tables.version, folder, say)
            seen = {"seeds_done": found["seed"].nunique(), "seeds": settings.leaderboard.published_seeds}
        else:
            found, seen = _honest_errors(place, [seat for seat in honest if seat.board is place.board])
        told.append(_entry(place, found) | seen)
        errors.append(found.assign(board=place.board.name))
    content = {"boards": told, "models": list(settings.models), "soh_reference": settings.data.soh_reference}
    write_json(folder / "leaderboard.json", content)
    write_text(folder / "leaderboard.md", as_page(content))
    pd.concat(errors, ignore_index=True).to_parquet(folder / "errors.parquet", index=False)
    if failures:
        raise TrainingError(f"{len(failures)} jobs failed - run it again, what ended stands; {'; '.join(failures)}")
    return content


def prepare(settings: Settings, board: Benchmark) -> Place:
    """Bring the board's cells and divide them; a held-out temperature gets a split file of its own."""
    source, features = settings.data.model_copy(update={"source": board.source}), settings.features
    if board.history_sets and features.history_sets == ("auto",):
        features = features.model_copy(update={"history_sets": board.history_sets})
    own = settings.model_copy(update={"data": source, "features": features})
    tables = data.normalize(own, data.fetch(own))
    return Place(
        board, own, tables, _held_out(own, board, tables) if board.test_temps_degC else data.split(own, tables)
    )


def _held_out(settings: Settings, board: Benchmark, tables: StageResult) -> StageResult:
    """Test cells are all of the held-out temperature; validation cells are drawn from every other condition."""
    cells = data.read_table(tables.path, "cells")
    if board.groups:
        cells = cells[cells["group"].isin(board.groups)].reset_index(drop=True)
    given = SplitSettings(
        strategy="temperature", test_temps_degC=board.test_temps_degC, seed=settings.split.seed,
        val_share=settings.split.val_share,
    )  # fmt: skip
    made = make_split(cells, given, data.source_of(settings))
    file = settings.folder("artifacts") / "leaderboard" / f"split-{board.name}.json"
    write_text(file, made.to_json())
    return StageResult(file, file_sha256(file), False, f"{len(made.test)} test cells")


def _train(seat: BenchmarkRun, say: Callable[[str], None]) -> list[str]:
    """Run the jobs that do not stand; gives what failed. The lock is held a seed at a time: a nightly run gets in."""
    missing = [spec for spec in seat.specs if finished(spec) is None]
    if not missing:
        return []
    where = f"leaderboard: {seat.board.name}, seed {seat.settings.seed}"
    jobs, failures = seat.settings.jobs, []
    with (
        one_at_a_time(lock_file(seat.settings), where, say),
        ThreadPoolExecutor(jobs.concurrent) as pool,
        none_left_behind(),
    ):
        running = {pool.submit(run_job, spec, jobs.timeout_s, jobs.threads, _silent): spec for spec in missing}
        for done in as_completed(running):
            try:
                result = done.result()
            except (TrainingError, JobKilled) as err:
                failures.append(str(err))
                say(f"{where}: {err}")
            else:
                error = percent(result["val_mean_cell_mape"])
                say(f"{where}: {result['model']}: {error} on validation cells, trained in {result['seconds']:.0f} s")
    return failures


def _silent(line: str) -> None:
    """What a job prints is in its run folder; a leaderboard has some two hundred of them."""


def _honest_errors(place: Place, seats: Sequence[BenchmarkRun]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Errors of cells of every model in each finished seed and of the baselines; and what was mixed."""
    rows, reference = place.rows(), place.settings.data.soh_reference
    train, test = rows[rows["subset"] == "train"], rows[rows["subset"] == "test"].reset_index(drop=True)

    def errors(model: str, seed: int, prediction: Any) -> pd.DataFrame:
        judged = drop_reference_checkup(test.assign(prediction=prediction), reference)
        return cell_errors(judged, judged["prediction"]).assign(model=model, seed=seed)

    baselines = {**BASELINES, LEAK_PROBE: leak_probe}
    found = [errors(name, place.settings.seed, baseline(train, test)) for name, baseline in baselines.items()]
    parts, done = {}, [seat for seat in seats if seat.done]
    for seat in done:
        seed, runs = seat.settings.seed, seat.settings.folder("artifacts") / "runs"
        results = seat.results
        mix = blend(seat.settings, rows, results) or choose(results)  # one model alone may be better
        named = {**{str(result["model"]): result for result in results}, ENSEMBLE: mix}
        for name, result in named.items():
            found.append(errors(name, seed, predictions_for(runs / result["run_id"], test)))
        parts[str(seed)] = mix.get("parts") or {mix["model"]: 1.0}
    told = {"blend_parts": parts, "seeds_done": len(done), "seeds": len(seats)}
    return pd.concat(found, ignore_index=True), told


def _entry(place: Place, errors: pd.DataFrame) -> dict[str, Any]:
    """What the page says of one board."""
    cells = CellSplit.from_json(place.split.path.read_text())
    lines = aggregate(errors)
    board, raw = place.board, (read_json(place.tables.path / data.STAGE_FILE) or {}).get("raw_version", "")
    return {
        "board": board.name,
        "source": board.source,
        "about": board.about,
        "goal": board.goal,
        "leaking": board.leaking,
        "cells": {part: len(getattr(cells, part)) for part in ("train", "val", "test")},
        "data_version": raw,
        "split_version": place.split.version,
        "models": [line for line in lines if line["model"] not in _BASELINES],
        "baselines": [line for line in lines if line["model"] in _BASELINES],
    }


def on_the_terminal(settings: Settings, names: Sequence[str], page: Path | None) -> int:
    """Make the leaderboard, show its tables, and write its page where it is wanted too; gives the exit code.

    Raises:
        SettingsError: there is no board of that name.
        TrainingError: jobs failed.
    """
    from rich.console import Console

    from battery_core.reporting.tables.leaderboard import for_terminal

    content = leaderboard(settings, chosen_benchmarks(names), lambda line: print(line, flush=True))
    console = Console(width=None if sys.stdout.isatty() else 160)
    for shown in for_terminal(content):
        console.print(shown)
    if page is not None:
        write_text(page, as_page(content))
    print(f"leaderboard: {settings.folder('artifacts') / 'leaderboard' / 'leaderboard.md'}")
    return 0
