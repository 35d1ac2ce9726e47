"""Tasks that release: the store is there, the challenger is registered, the better one serves."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from battery_core.artifacts import StageResult
from battery_core.reporting.tables.run_page import decision_markdown, decision_text
from battery_core.settings import Settings
from battery_core.stages import registry
from battery_core.stages.release import promote as stage
from battery_core.stages.release.promote import Outcome
from tasks.common import OPTIONS


@task(name="open-registry", task_run_name="open registry", tags=["release"], **OPTIONS)
def open_registry(settings: Settings) -> str:
    """Create the MLflow database once, before anything writes to it."""
    return registry.open_registry(settings)


@task(name="release", task_run_name="release {settings.data.source}", tags=["release"], timeout_seconds=1800, **OPTIONS)
def release(settings: Settings, tables: StageResult, split: StageResult, report: StageResult, run_name: str) -> Outcome:
    """Register the challenger; it becomes champion if it wins on the same rows."""
    outcome = stage.release(settings, tables, split, report, run_name)
    get_run_logger().info("release: %s version %d: %s", outcome.name, outcome.version, decision_text(outcome))
    create_markdown_artifact(
        key=f"decision-{settings.data.source.replace('_', '-')}",
        markdown=decision_markdown(outcome, registry.tracking_uri(settings)),
        description=f"{outcome.name}: {decision_text(outcome)}",
    )
    return outcome
