"""Task of cross-validation: run the stage and show its table on the run page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger

from battery_core.artifacts import StageResult
from battery_core.files import read_json
from battery_core.reporting.tables.cross_validation import cross_validation_table
from battery_core.settings import Settings
from battery_core.stages.evaluation import cross_validate as stage
from battery_core.stages.evaluation.cross_validate import FoldJob
from tasks.common import OPTIONS


@task(
    name="cross_validate",
    task_run_name="cross_validate {settings.data.source}",
    tags=["cross_validate"],
    timeout_seconds=1800,
    **OPTIONS,
)
def cross_validate(settings: Settings, tables: StageResult, jobs: Sequence[FoldJob], folder: Path) -> StageResult:
    """Compare the models over the cells that each fold held out."""
    log = get_run_logger()
    report = stage.cross_validate(settings, tables, jobs, folder, log.info)
    log.info(report.message)
    create_table_artifact(
        table=cross_validation_table(read_json(report.path)),
        key=f"cross-validation-{settings.data.source.replace('_', '-')}",
        description=report.message,
    )
    return report
