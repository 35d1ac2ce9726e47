"""Tasks that train: each waits for one job in a process of its own."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.logging import get_run_logger

from battery_core.jobs import JobSpec, run_job
from battery_core.reporting.formats import percent
from battery_core.settings import Settings
from tasks.common import OPTIONS


@task(name="train-model", task_run_name="train {spec.run_id}", tags=["training"], **OPTIONS)
def train_model(settings: Settings, spec: JobSpec) -> dict[str, Any]:
    """Train one model; a result that stands for the same data, settings, code and libraries is taken as it is."""
    log = get_run_logger()
    result = run_job(spec, settings.jobs.timeout_s, settings.jobs.threads, log.info)
    did = "stands already, not trained again" if result["reused"] else f"trained in {result['seconds']:.1f} s"
    log.info("train: %s: %s; %s on validation cells", spec.run_id, did, percent(result["val_mean_cell_mape"]))
    return result
