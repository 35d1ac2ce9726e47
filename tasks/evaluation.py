"""Tasks of evaluation: scores, choice of the challenger, and the report on the run page."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.logging import get_run_logger

from battery_core.artifacts import EvaluationReport, StageResult
from battery_core.reporting.html.page import PAGE_FILE
from battery_core.reporting.tables.report import condition_table, model_table
from battery_core.reporting.tables.run_page import evaluation_markdown
from battery_core.settings import Settings
from battery_core.stages.data.data_changes import DataChanges
from battery_core.stages.evaluation import evaluate as evaluating
from battery_core.stages.evaluation import report as reporting
from battery_core.stages.evaluation import select as selecting
from battery_core.stages.evaluation.data_report import DATA_FIGURES
from tasks.common import OPTIONS


@task(
    name="evaluate",
    task_run_name="evaluate {settings.data.source}",
    tags=["evaluation"],
    timeout_seconds=1800,
    **OPTIONS,
)
def evaluate(
    settings: Settings,
    tables: StageResult,
    split: StageResult,
    candidates: StageResult,
    data_changes: DataChanges | None = None,
) -> StageResult:
    """Score models and baselines on the test cells."""
    changes = data_changes.as_json() if data_changes else None
    return _logged(evaluating.evaluate(settings, tables, split, candidates, changes))


@task(name="select-challenger", task_run_name="select {settings.data.source}", tags=["evaluation"], **OPTIONS)
def select_challenger(settings: Settings, evaluation: StageResult) -> StageResult:
    """Choose the challenger on the validation cells."""
    return _logged(selecting.select(evaluation))


@task(name="report", task_run_name="report {settings.data.source}", tags=["evaluation"], **OPTIONS)
def report(settings: Settings, tables: StageResult, split: StageResult, selection: StageResult) -> StageResult:
    """Draw the figures, write the page, and publish both on the run page."""
    page = _logged(reporting.report(settings, tables, split, selection))
    show(EvaluationReport.read(selection.path).to_json(), selection.path.parent)
    return page


def _logged(result: StageResult) -> StageResult:
    get_run_logger().info(result.message)
    return result


def show(report: dict[str, Any], folder: Path) -> None:
    """Publish tables and plots of a report as Prefect artefacts."""
    key, label = report["source"].replace("_", "-"), report["label"]
    create_table_artifact(
        table=model_table(report), key=f"models-{key}", description=f"Models and baselines on test cells of {label}"
    )
    create_table_artifact(
        table=condition_table(report), key=f"conditions-{key}", description=f"MAPE per cell by condition, {label}"
    )
    for name, what in {"parity": "parity plot", "fade": "fade plot", **DATA_FIGURES}.items():
        picture = base64.b64encode((folder / f"{name}.png").read_bytes()).decode()
        create_image_artifact(
            image_url=f"data:image/png;base64,{picture}", key=f"{name}-{key}", description=f"{what}, {label}"
        )
    create_link_artifact(
        link=(folder / PAGE_FILE).resolve().as_uri(),
        link_text=PAGE_FILE,
        key=f"report-{key}",
        description=f"Model card, tables and figures in one page, {label}: `{folder / PAGE_FILE}`",
    )
    create_markdown_artifact(
        markdown=evaluation_markdown(report), key=f"data-{key}", description=f"Data of this run, {label}"
    )
