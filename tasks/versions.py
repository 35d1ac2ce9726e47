"""Tasks about data versions: they are kept, and compared with those of the model that serves."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from battery_core.artifacts import StageResult
from battery_core.jobs import JobSpec
from battery_core.reporting.tables.run_page import data_changes_markdown
from battery_core.settings import Settings
from battery_core.stages.data import data_changes as comparing
from battery_core.stages.data import snapshot as keeping
from battery_core.stages.data.data_changes import DataChanges
from battery_core.stages.data.snapshot import SnapshotResult
from tasks.common import OPTIONS


@task(name="keep", task_run_name="keep {settings.data.source}", tags=["data"], **OPTIONS)
def keep(settings: Settings, raw: StageResult, tables: StageResult, split: StageResult) -> SnapshotResult:
    """Put the data of this run where they can be restored from; a remote that fails is a warning."""
    log = get_run_logger()
    kept = keeping.keep(settings, raw, tables, split, log.warning)
    log.info(kept.message)
    if kept.problem:
        log.warning(kept.problem)
        create_markdown_artifact(
            key=f"data-remote-{settings.data.source.replace('_', '-')}",
            markdown=f"**Not at the data remote yet**: {kept.problem}",
            description="Data versions that the remote did not take",
        )
    return kept


@task(name="news", task_run_name="news {settings.data.source}", tags=["data"], **OPTIONS)
def news(settings: Settings, raw: StageResult, tables: StageResult, specs: Sequence[JobSpec]) -> DataChanges:
    """What is new since the model that serves."""
    found = comparing.news(settings, raw, tables, specs)
    get_run_logger().info("news: %s", found.message)
    create_markdown_artifact(
        key=f"news-{settings.data.source.replace('_', '-')}",
        markdown=data_changes_markdown(found.message, found.changes),
        description=found.message,
    )
    return found
