"""Write figures, explanations and the page of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from battery_core.artifacts import EvaluationReport, StageResult
from battery_core.cell_errors import as_worst
from battery_core.data.splits.cell_split import CellSplit
from battery_core.evaluation.metrics.scores import PRIMARY_METRIC
from battery_core.files import read_json
from battery_core.reporting.figures.models import draw_calibration, draw_learning_curves
from battery_core.reporting.figures.predictions import draw_fade, draw_parity, draw_residuals
from battery_core.reporting.formats import percent
from battery_core.reporting.html.page import write_page
from battery_core.settings import Settings
from battery_core.stages.evaluation.data_report import draw_data
from battery_core.stages.evaluation.evaluate import predictions_for
from battery_core.stages.evaluation.explain import explain
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.training.candidate import HISTORY_FILE


def report(settings: Settings, tables: StageResult, split: StageResult, selection: StageResult) -> StageResult:
    """Draw the figures of data, models and challenger, and write report.html beside report.json.

    Raises:
        DataError: report.json does not exist.
    """
    folder, runs = selection.path.parent, settings.folder("artifacts") / "runs"
    typed = EvaluationReport.read(selection.path)
    cells = CellSplit.from_json(split.path.read_text())
    rows = labelled_rows(tables.path, cells, settings.data.soh_reference)
    train, test = rows[rows["subset"] == "train"], rows[rows["subset"] == "test"].reset_index(drop=True)
    content = typed.to_json()
    draw_data(settings, tables.path, rows, typed.label, folder)
    draw_models(folder, test, content, runs)
    explain(folder, content, runs, train, test)
    page = write_page(folder)
    return StageResult(page, selection.version, False, f"report: {page}")


def draw_models(folder: Path, test: pd.DataFrame, content: Mapping[str, Any], runs: Path) -> None:
    """Draw the challenger on the test cells, the learning curves of all models, and the calibration of intervals."""
    models = content["models"]
    challenger = next(model for model in models if model["run_id"] == content["challenger"])
    rows = test.assign(prediction=predictions_for(runs / challenger["run_id"], test))
    truth, label = "simulated" if content["simulated"] else "measured", content["label"]
    title = f"{challenger['model']} on {label}: {percent(challenger['test'][PRIMARY_METRIC])} mean per-cell MAPE"
    order = [
        cell["cell_id"] for cell in sorted(challenger["test"]["per_cell"], key=lambda cell: as_worst(cell["mape"]))
    ]
    draw_parity(rows, title, folder / "parity.png", truth)
    draw_residuals(rows, title, folder / "residuals.png", truth)
    draw_fade(rows, order, title, folder / "fade.png", truth)
    levels = {model["model"]: model["intervals"]["calibration"] for model in models}
    histories = {model["model"]: read_json(runs / model["run_id"] / HISTORY_FILE) or {} for model in models}
    draw_calibration(levels, f"{label}: intervals", folder / "calibration.png")
    draw_learning_curves(histories, f"{label}: training", folder / "learning.png")
