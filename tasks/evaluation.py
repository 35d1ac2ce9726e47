"""Tasks that judge: the report, and what the run page shows of it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
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

from battery_core.artifacts import StageResult
from battery_core.files import read_json
from battery_core.reporting.html.page import PAGE_FILE
from battery_core.reporting.tables.report import condition_table, model_table
from battery_core.reporting.tables.run_page import evaluation_markdown
from battery_core.settings import Settings
from battery_core.stages.data.data_changes import DataChanges
from battery_core.stages.evaluation import evaluate as stage
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
    results: Sequence[dict[str, Any]],
    folder: Path,
    news: DataChanges | None = None,
) -> StageResult:
    """Score models and baselines on the test cells and show them on the run page."""
    report = stage.evaluate(settings, tables, split, results, folder, news.as_json() if news else None)
    get_run_logger().info(report.message)
    show(read_json(report.path), folder)
    return report


def show(report: dict[str, Any], folder: Path) -> None:
    """Tables and plots of a report as Prefect artefacts."""
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
