"""Tasks that release: the store is there, the challenger is registered, the better one serves."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from battery_core.artifacts import StageResult
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
    get_run_logger().info("release: %s version %d: %s", outcome.name, outcome.version, verdict(outcome))
    create_markdown_artifact(
        key=f"decision-{settings.data.source.replace('_', '-')}",
        markdown=in_words(outcome, registry.tracking_uri(settings)),
        description=f"{outcome.name}: {verdict(outcome)}",
    )
    return outcome


def verdict(outcome: Outcome) -> str:
    """One sentence."""
    return ("promoted: " if outcome.promoted else "not promoted: ") + outcome.reason


def in_words(outcome: Outcome, uri: str) -> str:
    """The decision for the run page, with the way to the MLflow run."""
    champion = f"version {outcome.champion}" if outcome.champion else "none"
    where = f"{uri}/#/runs/{outcome.mlflow_run}" if uri.startswith("http") else f"`{outcome.mlflow_run}` in `{uri}`"
    link = f"[MLflow run]({where})" if uri.startswith("http") else f"MLflow run {where}"
    if not uri.startswith("http"):
        link += f"; with `mlflow server` running: [open it](http://127.0.0.1:5000/#/runs/{outcome.mlflow_run})"
    return "\n".join(
        [
            f"# {outcome.name}, version {outcome.version}",
            f"**{'Promoted' if outcome.promoted else 'Not promoted'}**: {outcome.reason}",
            f"\n- champion now: {champion}",
            f"- {link}",
        ]
    )
