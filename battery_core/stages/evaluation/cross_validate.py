"""Cross-validation: every cell is tested once by models that never saw it; which is better, and do intervals hold."""

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
    """A job for each model, fold and seed; a fold is a split file of its own, so a job that stands is not run again.

    Raises:
        SettingsError: more folds than cells.
    """
    jobs = []
    for fold, staged in enumerate(folds(settings, tables, split)):
        for seed in range(settings.seed, settings.seed + settings.cross_validation.seeds):
            seeded = settings.model_copy(update={"seed": seed})
            jobs += [FoldJob(fold, seed, spec) for spec in job_specs(seeded, tables, staged)]
    return jobs


def folds(settings: Settings, tables: StageResult, split: StageResult) -> list[StageResult]:
    """The split file of each fold, over the cells that are not frozen as test cells unless these are asked for.

    Raises:
        SettingsError: more folds than cells.
    """
    frozen = CellSplit.from_json(split.path.read_text())
    cells = read_table(tables.path, "cells")
    kept_out = set(frozen.unused) | (set() if settings.cross_validation.with_test_cells else set(frozen.test))
    cells = cells[~cells["cell_id"].isin(kept_out)].reset_index(drop=True)
    count = settings.cross_validation.folds or len(cells)
    if not 2 <= count <= len(cells):
        raise SettingsError(
            f"cross_validation.folds: expected 2 to {len(cells)} folds of {len(cells)} cells, or 0 for one a cell, got "
            f"{settings.cross_validation.folds} - change cross_validation.folds"
        )
    strategy = "grouped_kfold" if settings.cross_validation.folds else "leave_one_cell_out"
    made = []
    for fold in range(count):
        asked = SplitSettings(
            strategy=strategy, n_folds=count, fold=fold, seed=settings.split.seed, val_share=settings.split.val_share
        )
        one = make_split(cells, asked, source_of(settings))
        name = f"{settings.data.source}-{split.version[:8]}-{strategy}-{count}-{len(cells)}-{fold}.json"
        file = settings.folder("artifacts") / "cross_validation" / name
        write_text(file, one.to_json())
        made.append(StageResult(file, file_sha256(file), False, f"fold {fold}: {len(one.test)} test cells"))
    return made


def cross_validate(
    settings: Settings, tables: StageResult, jobs: Sequence[FoldJob], folder: Path, log: Callable[[str], None] = print
) -> StageResult:
    """Errors and intervals of all models, and of what a night would put forward, on the cells that each fold held out.

    Args:
        settings: of the run.
        tables: normalized tables of all cells.
        jobs: those of all folds and seeds, finished.
        folder: where the comparison is written.
        log: told of each fold; to mix its models takes seconds.

    Raises:
        TrainingError: a job left no result.
    """
    reference = settings.data.soh_reference
    lines = [
        score_cells(drop_reference_checkup(_predicted(job.spec), reference)).assign(model=job.spec.model, **_where(job))
        for job in jobs
    ]
    for fold in sorted({job.fold for job in jobs}):
        own = [job for job in jobs if job.fold == fold]
        rows = labelled_rows(tables.path, CellSplit.from_json(Path(own[0].spec.split).read_text()), reference)
        lines += [found.assign(model=name, **_where(own[0])) for name, found in _baselines(rows, reference)]
        if settings.ensemble.enabled and len(settings.models) > 1:
            mixed = _put_forward(settings, rows, own)
            lines += mixed
            log(f"cross_validate: fold {fold}: {ENSEMBLE} {percent(fmean(found['mape'].mean() for found in mixed))}")
    errors = pd.concat(lines, ignore_index=True)
    found = compare_models(errors)
    ours = {job.spec.model for job in jobs} | {ENSEMBLE}
    per_cell = {name: part.groupby("cell_id")["mape"].mean() for name, part in errors.groupby("model")}
    tests = compare_with_best({str(name): cells for name, cells in per_cell.items() if name in ours})
    content = {
        "source": settings.data.source,
        "data_version": (read_json(tables.path / STAGE_FILE) or {}).get("raw_version", ""),
        "folds": len({job.fold for job in jobs}),
        "seeds": settings.cross_validation.seeds,
        "with_test_cells": settings.cross_validation.with_test_cells,
        "nominal_coverage": settings.uncertainty.coverage,
        "cells": int(errors["cell_id"].nunique()),
        "models": found,
        "tests": [asdict(test) for test in tests],
    }
    write_json(folder / CROSS_VALIDATION_FILE, content)
    errors.to_parquet(folder / "errors.parquet", index=False)
    told = [line for line in found if line["model"] in ours]
    best = told[0]
    ranked = f"{best['model']} is the best of {len(told)} on {content['cells']} cells"
    message = f"cross_validate: {ranked}: {percent(best['mean'])}"
    return StageResult(folder / CROSS_VALIDATION_FILE, file_sha256(folder / CROSS_VALIDATION_FILE), False, message)


def _put_forward(settings: Settings, rows: pd.DataFrame, jobs: Sequence[FoldJob]) -> list[pd.DataFrame]:
    """What a night would put forward of one fold's models: their mean, or the one that is surely better than it."""
    lines = []
    for seed in sorted({job.seed for job in jobs}):
        own = [job for job in jobs if job.seed == seed]
        results = [_result(job.spec) for job in own]
        chosen = build_ensemble(settings.model_copy(update={"seed": seed}), rows, results) or choose(results)
        said = pd.read_parquet(settings.folder("artifacts") / "runs" / chosen["run_id"] / PREDICTIONS_FILE)
        found = score_cells(drop_reference_checkup(said[said["subset"] == "test"], settings.data.soh_reference))
        lines.append(found.assign(model=ENSEMBLE, **_where(own[0])))
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
        said = test.assign(prediction=BASELINES[name](train, test))
        yield name, score_cells(drop_reference_checkup(said, reference))
