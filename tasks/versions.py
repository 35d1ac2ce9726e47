"""Tasks of data versions: record them, and compare them with those of the champion."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from battery_core.artifacts import StageResult
from battery_core.jobs import JobSpec
from battery_core.reporting.tables.run_page import data_changes_markdown
from battery_core.settings import Settings
from battery_core.stages.data import data_changes as data_changes
from battery_core.stages.data import snapshot as stage
from battery_core.stages.data.data_changes import DataChanges
from battery_core.stages.data.snapshot import SnapshotResult
from tasks.common import OPTIONS


@task(name="snapshot", task_run_name="snapshot {settings.data.source}", tags=["data"], **OPTIONS)
def snapshot(settings: Settings, raw: StageResult, tables: StageResult, split: StageResult) -> SnapshotResult:
    """Record the data of this run in the version store; a failing remote is a warning."""
    log = get_run_logger()
    recorded = stage.snapshot(settings, raw, tables, split, log.warning)
    log.info(recorded.message)
    if recorded.problem:
        log.warning(recorded.problem)
        create_markdown_artifact(
            key=f"data-remote-{settings.data.source.replace('_', '-')}",
            markdown=f"**Not at the data remote yet**: {recorded.problem}",
            description="Data versions that the remote did not take",
        )
    return recorded


@task(name="data-changes", task_run_name="data changes {settings.data.source}", tags=["data"], **OPTIONS)
def find_data_changes(
    settings: Settings, raw: StageResult, tables: StageResult, specs: Sequence[JobSpec]
) -> DataChanges:
    """Find what is new in the data since the champion was trained."""
    changes = data_changes.find_data_changes(settings, raw, tables, specs)
    get_run_logger().info("data changes: %s", changes.message)
    create_markdown_artifact(
        key=f"data-changes-{settings.data.source.replace('_', '-')}",
        markdown=data_changes_markdown(changes.message, changes.changes),
        description=changes.message,
    )
    return changes
