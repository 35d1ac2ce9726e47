"""Compare models by cross-validation: each cell is tested once by models that were not trained on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from battery_core.artifacts import StageResult
from battery_core.data.settings import SplitSettings
from battery_core.data.splits.cell_split import CellSplit
from battery_core.data.splits.make import make_split
from battery_core.data.versioning.content import file_sha256
from battery_core.errors import SettingsError, TrainingError
from battery_core.evaluation.baselines import BASELINES
from battery_core.evaluation.cross_validation import compare_models, score_cells
from battery_core.evaluation.metrics.paired_tests import compare_with_best
from battery_core.evaluation.metrics.per_cell import drop_reference_checkup
from battery_core.files import read_json, write_json, write_text
from battery_core.jobs import JobSpec, finished
from battery_core.predictors.weighted_ensemble import NAME as ENSEMBLE
from battery_core.reporting.formats import percent
from battery_core.settings import Settings
from battery_core.stages.common import STAGE_FILE, read_table, source_of
from battery_core.stages.evaluation.select import choose
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.training.candidate import PREDICTIONS_FILE
from battery_core.stages.training.ensemble import build_ensemble
from battery_core.stages.training.job_specs import job_specs

CROSS_VALIDATION_FILE = "validation.json"
_BASELINES = ("train_mean", "linear_throughput")


@dataclass(frozen=True)
class FoldJob:
    """One model trained on one fold with one seed."""

    fold: int
    seed: int
    spec: JobSpec


def fold_jobs(settings: Settings, tables: StageResult, split: StageResult) -> list[FoldJob]:
    """Return a job for each model, fold and seed.

    Each fold has a separate split file, so that a finished job is not run again.

    Raises:
        SettingsError: there are more folds than cells.
    """
    jobs = []
    for fold, fold_split in enumerate(folds(settings, tables, split)):
        for seed in range(settings.seed, settings.seed + settings.cross_validation.seeds):
            seeded = settings.model_copy(update={"seed": seed})
            jobs += [FoldJob(fold, seed, spec) for spec in job_specs(seeded, tables, fold_split)]
    return jobs


def folds(settings: Settings, tables: StageResult, split: StageResult) -> list[StageResult]:
    """Write and return the split file of each fold.

    Frozen test cells take part only with ``cross_validation.with_test_cells``.

    Raises:
        SettingsError: there are more folds than cells.
    """
    frozen = CellSplit.from_json(split.path.read_text())
    cells = read_table(tables.path, "cells")
    excluded = set(frozen.unused) | (set() if settings.cross_validation.with_test_cells else set(frozen.test))
    cells = cells[~cells["cell_id"].isin(excluded)].reset_index(drop=True)
    count = settings.cross_validation.folds or len(cells)
    if not 2 <= count <= len(cells):
        raise SettingsError(
            f"cross_validation.folds: expected 2 to {len(cells)} folds of {len(cells)} cells, or 0 for one a cell, got "
            f"{settings.cross_validation.folds} - change cross_validation.folds"
        )
    strategy = "grouped_kfold" if settings.cross_validation.folds else "leave_one_cell_out"
    made = []
    for fold in range(count):
        fold_settings = SplitSettings(
            strategy=strategy, n_folds=count, fold=fold, seed=settings.split.seed, val_share=settings.split.val_share
        )
        one = make_split(cells, fold_settings, source_of(settings))
        name = f"{settings.data.source}-{split.version[:8]}-{strategy}-{count}-{len(cells)}-{fold}.json"
        file = settings.folder("artifacts") / "cross_validation" / name
        write_text(file, one.to_json())
        made.append(StageResult(file, file_sha256(file), False, f"fold {fold}: {len(one.test)} test cells"))
    return made


def cross_validate(
    settings: Settings, tables: StageResult, jobs: Sequence[FoldJob], folder: Path, log: Callable[[str], None] = print
) -> StageResult:
    """Score all models and the chosen candidate of each fold on its held-out cells, and write the comparison.

    Args:
        settings: settings of the run.
        tables: normalized tables of all cells.
        jobs: finished jobs of all folds and seeds.
        folder: folder for the comparison.
        log: called with a line for each fold.

    Raises:
        TrainingError: a job has no result.
    """
    reference = settings.data.soh_reference
    lines = [
        score_cells(drop_reference_checkup(_predicted(job.spec), reference)).assign(model=job.spec.model, **_where(job))
        for job in jobs
    ]
    for fold in sorted({job.fold for job in jobs}):
        jobs_of_fold = [job for job in jobs if job.fold == fold]
        rows = labelled_rows(tables.path, CellSplit.from_json(Path(jobs_of_fold[0].spec.split).read_text()), reference)
        baselines = _baselines(rows, reference)
        lines += [scores.assign(model=name, **_where(jobs_of_fold[0])) for name, scores in baselines]
        if settings.ensemble.enabled and len(settings.models) > 1:
            candidates = _score_candidates(settings, rows, jobs_of_fold)
            lines += candidates
            error = fmean(scores["mape"].mean() for scores in candidates)
            log(f"cross_validate: fold {fold}: {ENSEMBLE} {percent(error)}")
    errors = pd.concat(lines, ignore_index=True)
    summaries = compare_models(errors)
    trained = {job.spec.model for job in jobs} | {ENSEMBLE}
    per_cell = {name: rows.groupby("cell_id")["mape"].mean() for name, rows in errors.groupby("model")}
    tests = compare_with_best({str(name): cells for name, cells in per_cell.items() if name in trained})
    content = {
        "source": settings.data.source,
        "data_version": (read_json(tables.path / STAGE_FILE) or {}).get("raw_version", ""),
        "folds": len({job.fold for job in jobs}),
        "seeds": settings.cross_validation.seeds,
        "with_test_cells": settings.cross_validation.with_test_cells,
        "nominal_coverage": settings.uncertainty.coverage,
        "cells": int(errors["cell_id"].nunique()),
        "models": summaries,
        "tests": [asdict(test) for test in tests],
    }
    write_json(folder / CROSS_VALIDATION_FILE, content)
    errors.to_parquet(folder / "errors.parquet", index=False)
    ranking = [line for line in summaries if line["model"] in trained]
    best = ranking[0]
    ranked = f"{best['model']} is the best of {len(ranking)} on {content['cells']} cells"
    message = f"cross_validate: {ranked}: {percent(best['mean'])}"
    return StageResult(folder / CROSS_VALIDATION_FILE, file_sha256(folder / CROSS_VALIDATION_FILE), False, message)


def _score_candidates(settings: Settings, rows: pd.DataFrame, jobs: Sequence[FoldJob]) -> list[pd.DataFrame]:
    """Return the scores of the candidate that a retraining run would choose in one fold, for each seed.

    The candidate is the weighted ensemble, or the single model that is significantly better.
    """
    lines = []
    for seed in sorted({job.seed for job in jobs}):
        seed_jobs = [job for job in jobs if job.seed == seed]
        results = [_result(job.spec) for job in seed_jobs]
        chosen = build_ensemble(settings.model_copy(update={"seed": seed}), rows, results) or choose(results)
        predictions = pd.read_parquet(settings.folder("artifacts") / "runs" / chosen["run_id"] / PREDICTIONS_FILE)
        test = predictions[predictions["subset"] == "test"]
        scores = score_cells(drop_reference_checkup(test, settings.data.soh_reference))
        lines.append(scores.assign(model=ENSEMBLE, **_where(seed_jobs[0])))
    return lines


def _where(job: FoldJob) -> dict[str, int]:
    return {"fold": job.fold, "seed": job.seed}


def _result(spec: JobSpec) -> dict[str, Any]:
    result = finished(spec)
    if result is None:
        raise TrainingError(f"cross_validate: job '{spec.run_id}' left no result in '{spec.folder}' - run it again")
    return result


def _predicted(spec: JobSpec) -> pd.DataFrame:
    file = spec.folder / PREDICTIONS_FILE
    if not file.is_file():
        raise TrainingError(f"cross_validate: job '{spec.run_id}' left no predictions in '{file}' - run it again")
    rows = pd.read_parquet(file)
    return rows[rows["subset"] == "test"]


def _baselines(rows: pd.DataFrame, reference: str) -> Iterator[tuple[str, pd.DataFrame]]:
    train, test = rows[rows["subset"] == "train"], rows[rows["subset"] == "test"].reset_index(drop=True)
    for name in _BASELINES:
        predictions = test.assign(prediction=BASELINES[name](train, test))
        yield name, score_cells(drop_reference_checkup(predictions, reference))
