"""Tasks of release: open the registry, compare with the champion, register and promote."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from battery_core.artifacts import ReleaseResult, StageResult
from battery_core.reporting.tables.run_page import decision_markdown, decision_text
from battery_core.settings import Settings
from battery_core.stages import registry
from battery_core.stages.release import compare as comparing
from battery_core.stages.release import promote as promoting
from tasks.common import OPTIONS


@task(name="open-registry", task_run_name="open registry", tags=["release"], **OPTIONS)
def open_registry(settings: Settings) -> str:
    """Create the MLflow database once, before anything writes to it."""
    return registry.open_registry(settings)


@task(name="compare", task_run_name="compare {settings.data.source}", tags=["release"], timeout_seconds=1800, **OPTIONS)
def compare(settings: Settings, tables: StageResult, split: StageResult, selection: StageResult) -> StageResult:
    """Compare the challenger with the champion on the same rows."""
    comparison = comparing.compare(settings, tables, split, selection)
    get_run_logger().info(comparison.message)
    return comparison


@task(name="promote", task_run_name="promote {settings.data.source}", tags=["release"], timeout_seconds=1800, **OPTIONS)
def promote(
    settings: Settings, tables: StageResult, split: StageResult, comparison: StageResult, run_name: str
) -> ReleaseResult:
    """Register the challenger, and promote it if it is better in the comparison."""
    result = promoting.promote(settings, tables, split, comparison, run_name)
    get_run_logger().info("promote: %s version %d: %s", result.name, result.version, decision_text(result))
    create_markdown_artifact(
        key=f"decision-{settings.data.source.replace('_', '-')}",
        markdown=decision_markdown(result, registry.tracking_uri(settings)),
        description=f"{result.name}: {decision_text(result)}",
    )
    return result
