"""Every model of the run on the test cells, beside the baselines: report.json and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from battery_core.artifacts import StageResult
from battery_core.cell_errors import as_worst
from battery_core.data.splits.cell_split import CellSplit
from battery_core.errors import TrainingError
from battery_core.evaluation.metrics.confidence import METHOD
from battery_core.evaluation.metrics.coverage import evaluate_intervals
from battery_core.evaluation.metrics.scores import (
    PRIMARY_METRIC,
    evaluate_baselines,
    evaluate_predictions,
    probe_verdict,
)
from battery_core.files import read_json, write_json
from battery_core.predictors.weighted_ensemble import NAME as ENSEMBLE
from battery_core.reporting.figures.models import draw_calibration, draw_learning_curves
from battery_core.reporting.figures.predictions import draw_fade, draw_parity, draw_residuals
from battery_core.reporting.formats import percent
from battery_core.reporting.html.page import write_page
from battery_core.reporting.model_card import scope
from battery_core.settings import Settings
from battery_core.stages.common import STAGE_FILE, stage_key
from battery_core.stages.evaluation.data_report import draw_data
from battery_core.stages.evaluation.explain import explain
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.training.candidate import HISTORY_FILE, PREDICTIONS_FILE
from battery_core.stages.training.ensemble import blend

REPORT_FILE = "report.json"


def evaluate(
    settings: Settings,
    tables: StageResult,
    split: StageResult,
    results: Sequence[Mapping[str, Any]],
    folder: Path,
    news: Mapping[str, Any] | None = None,
) -> StageResult:
    """Score every trained model and every baseline on the same test rows; validation cells choose the challenger.

    The test cells judge the challenger once; they do not choose it. ``news`` says what is new in the data.

    Raises:
        TrainingError: no training job left a result.
    """
    if not results:
        raise TrainingError("evaluate: no training job left a result - see the failed jobs above")
    cells, reference = CellSplit.from_json(split.path.read_text()), settings.data.soh_reference
    rows = labelled_rows(tables.path, cells, reference)
    train, test = rows[rows["subset"] == "train"], rows[rows["subset"] == "test"].reset_index(drop=True)
    runs = settings.folder("artifacts") / "runs"
    mix = blend(settings, rows, results)
    models = [judged(result, runs, test, reference) for result in ([*results, mix] if mix else results)]
    challenger = choose(models)
    baselines, probe = evaluate_baselines(train, test, reference)
    report = about_data(settings, tables, split, rows) | {
        "models": models,
        "challenger": challenger["run_id"],
        "baselines": baselines,
        "leak_probe": probe,
        "probe_verdict": probe_verdict(challenger["test"], probe),
        "news": dict(news) if news else None,
    }
    report["drift"] = draw_data(settings, tables.path, rows, str(report["label"]), folder).to_dict(orient="records")
    write_json(folder / REPORT_FILE, report)
    draw(folder, test, challenger, report, runs)
    explain(folder, report, runs, train, test)
    write_page(folder)
    error = percent(challenger["test"][PRIMARY_METRIC])
    text = f"evaluate: {challenger['model']} is chosen on validation cells; {error} on test cells"
    return StageResult(folder / REPORT_FILE, stage_key(tables.version, split.version), False, text)


def judged(result: Mapping[str, Any], runs: Path, test: pd.DataFrame, reference: str) -> dict[str, Any]:
    """The result of a finished job with its errors on the test rows, and how well its intervals hold there."""
    run = runs / result["run_id"]
    return dict(result) | {
        "test": evaluate_predictions(test, predictions_for(run, test), reference),
        "intervals": intervals_for(run, test, result["conformal"], reference),
    }


def about_data(settings: Settings, tables: StageResult, split: StageResult, rows: pd.DataFrame) -> dict[str, Any]:
    """What a report says of its data: source, versions, split, how many rows, and what they span."""
    cells, quality = CellSplit.from_json(split.path.read_text()), read_json(tables.path / "quality.json") or {}
    counts = {key: quality.get(key) for key in ("rows_read", "rows_kept", "rows_quarantined")}
    return {
        "source": settings.data.source,
        "label": quality.get("label", settings.data.source),
        "simulated": quality.get("simulated", False),
        "data_version": (read_json(tables.path / STAGE_FILE) or {}).get("raw_version", ""),
        "tables_version": tables.version,
        "split": {"strategy": cells.strategy, "version": split.version, "test_cells": list(cells.test)},
        "soh_reference": settings.data.soh_reference,
        "rows": counts | {part: int((rows["subset"] == part).sum()) for part in ("train", "val", "test", "unused")},
        "scope": {part: scope(rows[rows["subset"] == part]) for part in ("train", "val", "test")},
        "interval_method": METHOD,
    }


def predictions_for(run_folder: Path, test: pd.DataFrame) -> Any:
    """Predictions of a finished job for exactly these test rows, in their order."""
    return _kept(run_folder, test)["prediction"].to_numpy(dtype=float)


def intervals_for(run_folder: Path, test: pd.DataFrame, conformal: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """How well the intervals of a finished job hold on these test rows."""
    kept = _kept(run_folder, test)[["prediction", "in_distribution", "outside", "soh_spread"]]
    known = kept["in_distribution"].fillna(False).astype(bool)  # a row without a prediction is not known
    return evaluate_intervals(test.join(kept.assign(in_distribution=known)), conformal, reference)


def _kept(run_folder: Path, test: pd.DataFrame) -> pd.DataFrame:
    """What a finished job said of these test rows, with their index."""
    kept = pd.read_parquet(run_folder / PREDICTIONS_FILE).set_index(["cell_id", "checkup_index"])
    wanted = pd.MultiIndex.from_frame(test[["cell_id", "checkup_index"]])
    return kept.reindex(wanted).set_index(test.index)


def choose(models: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The candidate that is put forward, by validation cells: their mean if it was made, else the lowest mean MAPE.

    A mean is made only where no single model errs less by more than chance (``stages.training.ensemble``).
    A model without a figure comes last.
    """
    return min(models, key=lambda m: (m.get("model") != ENSEMBLE, as_worst(m["val_mean_cell_mape"])))


def draw(
    folder: Path, test: pd.DataFrame, challenger: Mapping[str, Any], report: Mapping[str, Any], runs: Path
) -> None:
    """The challenger on the test cells, how each model learnt, and whether its intervals hold."""
    rows = test.assign(prediction=predictions_for(runs / challenger["run_id"], test))
    truth, label = "simulated" if report["simulated"] else "measured", report["label"]
    title = f"{challenger['model']} on {label}: {percent(challenger['test'][PRIMARY_METRIC])} mean per-cell MAPE"
    order = [cell["cell_id"] for cell in sorted(challenger["test"]["per_cell"], key=lambda cell: cell["mape"])]
    draw_parity(rows, title, folder / "parity.png", truth)
    draw_residuals(rows, title, folder / "residuals.png", truth)
    draw_fade(rows, order, title, folder / "fade.png", truth)
    models = report["models"]
    levels = {model["model"]: model["intervals"]["calibration"] for model in models}
    histories = {model["model"]: read_json(runs / model["run_id"] / HISTORY_FILE) or {} for model in models}
    draw_calibration(levels, f"{label}: intervals", folder / "calibration.png")
    draw_learning_curves(histories, f"{label}: training", folder / "learning.png")
