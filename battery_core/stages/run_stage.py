"""Each stage by name, for the command line and DVC: what comes before it is taken as it stands on disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from battery_core.artifacts import StageResult
from battery_core.data.versioning.content import content_version
from battery_core.errors import DataError
from battery_core.files import read_json
from battery_core.jobs import finished, run_job
from battery_core.release.locking import one_at_a_time
from battery_core.reporting.formats import percent
from battery_core.settings import Settings
from battery_core.stages.data import snapshot as keeping
from battery_core.stages.data.fetch import fetch
from battery_core.stages.data.normalize import normalize
from battery_core.stages.data.split import split
from battery_core.stages.evaluation import evaluate as evaluation
from battery_core.stages.registry import lock_file
from battery_core.stages.release import promote as releasing
from battery_core.stages.training.job_specs import job_specs


def run_stage(name: str, settings: Settings) -> Iterator[str]:
    """Run a stage on what earlier stages left; yields what there is to say.

    Raises:
        DataError: an earlier stage has not run yet.
    """
    if name in ("fetch", "normalize", "split"):
        yield {"fetch": fetch, "normalize": normalize, "split": split}[name](settings).message
        return
    if name == "snapshot":
        yield from (kept := _keep(settings)).lines
        if kept.problem:
            raise DataError(f"snapshot: {kept.problem}")
        return
    tables, cells = normalize(settings), split(settings)
    yield from (tables.message, cells.message)
    specs = job_specs(settings, tables, cells)
    if name == "train":
        for spec in specs:
            result = run_job(spec, settings.jobs.timeout_s, settings.jobs.threads)
            yield f"train: {spec.run_id}: {percent(result['val_mean_cell_mape'])} on validation cells"
        return
    results = [standing | {"reused": True} for spec in specs if (standing := finished(spec)) is not None]
    folder = settings.folder("artifacts") / "reports" / f"{settings.data.source}-by-hand"
    report = evaluation.evaluate(settings, tables, cells, results, folder)
    yield report.message
    if name == "release":
        yield from _release(settings, tables, cells, report)


@dataclass(frozen=True)
class _Kept:
    lines: tuple[str, ...]
    problem: str


def _keep(settings: Settings) -> _Kept:
    """The data as they stand now: raw files corrected by hand become a version that can be restored."""
    folder = settings.folder("data") / "raw" / settings.data.source
    if not folder.is_dir():
        raise DataError(f"snapshot: no raw data of '{settings.data.source}' in '{folder}' - run the stage fetch first")
    raw = StageResult(folder, content_version(folder), True, "")
    tables = normalize(settings, raw)
    cells = split(settings, tables)
    kept = keeping.keep(settings, raw, tables, cells, print)
    return _Kept((tables.message, cells.message, kept.message), kept.problem)


def _release(settings: Settings, tables: StageResult, cells: StageResult, report: StageResult) -> Iterator[str]:
    if read_json(report.path) is None:
        raise DataError(f"release: no report in '{report.path}' - run the stage evaluate first")
    name = f"{settings.data.source}-{time.strftime('%Y%m%d-%H%M%S')}-by-hand"
    kept = _keep(settings)
    yield from (kept.lines[-1], *([f"warning: {kept.problem}"] if kept.problem else []))
    with one_at_a_time(lock_file(settings), name, print):
        outcome = releasing.release(settings, tables, cells, report, name)
    yield f"release: {outcome.name} version {outcome.version}: {outcome.reason}"
