"""Run each stage by name, for the command line and DVC; a stage reads the files of earlier stages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from battery_core.artifacts import StageResult
from battery_core.data.versioning.content import content_version, file_sha256
from battery_core.errors import DataError, TrainingError
from battery_core.files import read_json
from battery_core.jobs import finished, run_job
from battery_core.release.locking import hold_lock
from battery_core.reporting.formats import percent
from battery_core.settings import Settings
from battery_core.stages.common import STAGE_FILE
from battery_core.stages.data import snapshot as keeping
from battery_core.stages.data.fetch import fetch
from battery_core.stages.data.normalize import normalize
from battery_core.stages.data.split import split, split_file
from battery_core.stages.evaluation.evaluate import EVALUATION_FILE, evaluate
from battery_core.stages.evaluation.report import report
from battery_core.stages.evaluation.select import REPORT_FILE, select
from battery_core.stages.registry import lock_file
from battery_core.stages.release.compare import COMPARISON_FILE, compare
from battery_core.stages.release.promote import promote
from battery_core.stages.training.ensemble import CANDIDATES_FILE, ensemble
from battery_core.stages.training.job_specs import job_specs

Stage = Callable[[Settings], Iterator[str]]


def run_stage(name: str, settings: Settings) -> Iterator[str]:
    """Run one stage on the files of earlier stages; yield the lines to print.

    Raises:
        DataError: an earlier stage has not run yet.
    """
    return STAGES[name](settings)


def raw_on_disk(settings: Settings, stage: str) -> StageResult:
    """Return the raw files as they are now."""
    folder = settings.folder("data") / "raw" / settings.data.source
    if not folder.is_dir():
        raise DataError(f"{stage}: no raw data of '{settings.data.source}' in '{folder}' - run the stage fetch first")
    return StageResult(folder, content_version(folder), True, "")


def tables_on_disk(settings: Settings, stage: str) -> StageResult:
    """Return the normalized tables as they are."""
    folder = settings.folder("data") / "normalized" / settings.data.source
    content = read_json(folder / STAGE_FILE)
    if content is None:
        raise DataError(f"{stage}: no tables of '{settings.data.source}' in '{folder}' - run the stage normalize first")
    return StageResult(folder, str(content["version"]), True, "")


def split_on_disk(settings: Settings, stage: str) -> StageResult:
    """Return the frozen split of these settings."""
    file = split_file(settings)
    if not file.is_file():
        raise DataError(f"{stage}: no split in '{file}' - run the stage split first")
    return StageResult(file, file_sha256(file), True, "")


def _on_disk(settings: Settings, stage: str, name: str, earlier: str) -> StageResult:
    """Return an artefact of the run by hand."""
    file = _folder(settings) / name
    if not file.is_file():
        raise DataError(f"{stage}: no '{file}' - run the stage {earlier} first")
    return StageResult(file, file_sha256(file), True, "")


def _folder(settings: Settings) -> Path:
    """Return the folder of the reports that are made by hand."""
    return settings.folder("artifacts") / "reports" / f"{settings.data.source}-by-hand"


def _inputs(settings: Settings, stage: str) -> tuple[StageResult, StageResult]:
    return tables_on_disk(settings, stage), split_on_disk(settings, stage)


def _fetch(settings: Settings) -> Iterator[str]:
    yield fetch(settings).message


def _normalize(settings: Settings) -> Iterator[str]:
    yield normalize(settings).message


def _split(settings: Settings) -> Iterator[str]:
    yield split(settings).message


def _snapshot(settings: Settings) -> Iterator[str]:
    """Record the data as they are now: raw files corrected by hand become a version that can be restored."""
    raw = raw_on_disk(settings, "snapshot")
    tables = normalize(settings, raw)
    cells = split(settings, tables)
    yield from (tables.message, cells.message)
    recorded = keeping.snapshot(settings, raw, tables, cells, print)
    yield recorded.message
    if recorded.problem:
        raise DataError(f"snapshot: {recorded.problem}")


def _train(settings: Settings) -> Iterator[str]:
    for spec in job_specs(settings, *_inputs(settings, "train")):
        result = run_job(spec, settings.jobs.timeout_s, settings.jobs.threads)
        yield f"train: {spec.run_id}: {percent(result['val_mean_cell_mape'])} on validation cells"


def _ensemble(settings: Settings) -> Iterator[str]:
    tables, cells = _inputs(settings, "ensemble")
    specs = job_specs(settings, tables, cells)
    results = [result | {"reused": True} for spec in specs if (result := finished(spec)) is not None]
    if len(results) < len(specs):
        missing = ", ".join(spec.run_id for spec in specs if finished(spec) is None)
        raise TrainingError(f"ensemble: no result of {missing} - run the stage train first")
    yield ensemble(settings, tables, cells, results, _folder(settings)).message


def _evaluate(settings: Settings) -> Iterator[str]:
    tables, cells = _inputs(settings, "evaluate")
    yield evaluate(settings, tables, cells, _on_disk(settings, "evaluate", CANDIDATES_FILE, "ensemble")).message


def _select(settings: Settings) -> Iterator[str]:
    yield select(_on_disk(settings, "select", EVALUATION_FILE, "evaluate")).message


def _report(settings: Settings) -> Iterator[str]:
    tables, cells = _inputs(settings, "report")
    yield report(settings, tables, cells, _on_disk(settings, "report", REPORT_FILE, "select")).message


def _compare(settings: Settings) -> Iterator[str]:
    tables, cells = _inputs(settings, "compare")
    yield compare(settings, tables, cells, _on_disk(settings, "compare", REPORT_FILE, "select")).message


def _promote(settings: Settings) -> Iterator[str]:
    tables, cells = _inputs(settings, "promote")
    comparison = _on_disk(settings, "promote", COMPARISON_FILE, "compare")
    name = f"{settings.data.source}-{time.strftime('%Y%m%d-%H%M%S')}-by-hand"
    recorded = keeping.snapshot(settings, raw_on_disk(settings, "promote"), tables, cells, print)
    yield from (recorded.message, *([f"warning: {recorded.problem}"] if recorded.problem else []))
    with hold_lock(lock_file(settings), name, print):
        result = promote(settings, tables, cells, comparison, name)
    yield f"promote: {result.name} version {result.version}: {result.reason}"


STAGES: Mapping[str, Stage] = {
    "fetch": _fetch,
    "normalize": _normalize,
    "split": _split,
    "snapshot": _snapshot,
    "train": _train,
    "ensemble": _ensemble,
    "evaluate": _evaluate,
    "select": _select,
    "report": _report,
    "compare": _compare,
    "promote": _promote,
}
"""Stages in their order."""
