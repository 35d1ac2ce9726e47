"""Tasks of training: each model in a separate process, then the weighted ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.logging import get_run_logger

from battery_core.artifacts import StageResult
from battery_core.jobs import JobSpec, run_job
from battery_core.reporting.formats import percent
from battery_core.settings import Settings
from battery_core.stages.training import ensemble as stage
from tasks.common import OPTIONS


@task(name="train-model", task_run_name="train {spec.run_id}", tags=["training"], **OPTIONS)
def train_model(settings: Settings, spec: JobSpec) -> dict[str, Any]:
    """Train one model, or reuse the result for the same data, settings, code and libraries."""
    log = get_run_logger()
    result = run_job(spec, settings.jobs.timeout_s, settings.jobs.threads, log.info)
    did = "stands already, not trained again" if result["reused"] else f"trained in {result['seconds']:.1f} s"
    log.info("train: %s: %s; %s on validation cells", spec.run_id, did, percent(result["val_mean_cell_mape"]))
    return result


@task(
    name="build-ensemble",
    task_run_name="ensemble {settings.data.source}",
    tags=["training"],
    timeout_seconds=1800,
    **OPTIONS,
)
def build_ensemble(
    settings: Settings, tables: StageResult, split: StageResult, results: Sequence[dict[str, Any]], folder: Path
) -> StageResult:
    """Build the weighted ensemble and list the candidates."""
    candidates = stage.ensemble(settings, tables, split, results, folder)
    get_run_logger().info(candidates.message)
    return candidates
