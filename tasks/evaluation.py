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
from battery_core.reporting.tables.report import by_condition, leaderboard
from battery_core.settings import Settings
from battery_core.stages.data.data_changes import DataChanges
from battery_core.stages.evaluation import evaluate as stage
from battery_core.stages.evaluation.data_report import DATA_FIGURES
from battery_core.stages.evaluation.report_page import PAGE_FILE
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
        table=leaderboard(report), key=f"models-{key}", description=f"Models and baselines on test cells of {label}"
    )
    create_table_artifact(
        table=by_condition(report), key=f"conditions-{key}", description=f"MAPE per cell by condition, {label}"
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
    create_markdown_artifact(markdown=_words(report), key=f"data-{key}", description=f"Data of this run, {label}")


def _words(report: dict[str, Any]) -> str:
    rows, split = report["rows"], report["split"]
    lines = [
        f"# {report['label']}",
        f"- data version `{report['data_version']}` (the md5 DVC keeps for the raw data)",
        f"- {rows['rows_read']} check-ups read, {rows['rows_quarantined']} quarantined",
        f"- rows: {rows['train']} train, {rows['val']} validation, {rows['test']} test, {rows['unused']} unused",
        f"- split `{split['strategy']}`, test cells: {', '.join(split['test_cells'])}",
        f"- SOH relative to `{report['soh_reference']}` capacity",
    ]
    lines += [f"- new: {report['news']['message']}"] if report.get("news") else []
    lines += [f"- most different in the test cells: {_most_different(report['drift'])}"] if report.get("drift") else []
    return "\n".join(lines + ([f"\n**{report['probe_verdict']}**"] if report["probe_verdict"] else []))


def _most_different(drift: Sequence[dict[str, Any]]) -> str:
    """Distance of distributions, 0 alike to 1 apart."""
    return ", ".join(f"{line['feature']} {line['ks']:.2f}" for line in drift[:3])
