"""Tasks of the data stages."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.logging import get_run_logger

from battery_core.artifacts import StageResult
from battery_core.data.quality.quarantine import quarantine_shown
from battery_core.settings import Settings
from battery_core.stages.data import fetch as fetching
from battery_core.stages.data import normalize as normalizing
from battery_core.stages.data import split as splitting
from tasks.common import OPTIONS


def _log_result(result: StageResult) -> StageResult:
    get_run_logger().info("%s [%s]", result.message, result.version[:12])
    return result


@task(name="fetch", task_run_name="fetch {settings.data.source}", tags=["data"], timeout_seconds=3600, **OPTIONS)
def fetch(settings: Settings) -> StageResult:
    """Fetch the raw files of the source."""
    return _log_result(fetching.fetch(settings))


@task(
    name="normalize", task_run_name="normalize {settings.data.source}", tags=["data"], timeout_seconds=3600, **OPTIONS
)
def normalize(settings: Settings, raw: StageResult) -> StageResult:
    """Convert raw files to checked tables; show quarantined rows on the run page."""
    tables = normalizing.normalize(settings, raw, log=get_run_logger().info)
    show_quarantine(settings.data.source, tables.path)
    return _log_result(tables)


def show_quarantine(source: str, tables: Path) -> None:
    """Show the quarantined rows as a table on the run page, or a line if there are none."""
    words, rows = quarantine_shown(tables)
    key = f"quarantine-{source.replace('_', '-')}"
    if rows:
        create_table_artifact(table=rows, key=key, description=words)
    else:
        create_markdown_artifact(markdown=words, key=key, description=f"Quarantine of {source}")


@task(name="split", task_run_name="split {settings.data.source}", tags=["data"], timeout_seconds=600, **OPTIONS)
def split(settings: Settings, tables: StageResult) -> StageResult:
    """Split the cells into training, validation and test cells."""
    return _log_result(splitting.split(settings, tables))
