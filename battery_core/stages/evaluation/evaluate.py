"""Evaluate every candidate on the test cells, beside the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from battery_core.artifacts import CandidateList, Evaluation, StageResult, TrainingResult
from battery_core.data.splits.cell_split import CellSplit
from battery_core.errors import TrainingError
from battery_core.evaluation.data_drift import measure_drift
from battery_core.evaluation.metrics.confidence import METHOD
from battery_core.evaluation.metrics.coverage import evaluate_intervals
from battery_core.evaluation.metrics.scores import (
    evaluate_baselines,
    evaluate_predictions,
)
from battery_core.files import read_json
from battery_core.jobs import RESULT_FILE
from battery_core.reporting.model_card import scope
from battery_core.settings import Settings
from battery_core.stages.common import STAGE_FILE, stage_key
from battery_core.stages.evaluation.data_report import compared_features
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.training.candidate import PREDICTIONS_FILE

EVALUATION_FILE = "evaluation.json"


def evaluate(
    settings: Settings,
    tables: StageResult,
    split: StageResult,
    candidates: StageResult,
    data_changes: Mapping[str, Any] | None = None,
) -> StageResult:
    """Score every candidate and every baseline on the same test rows; write evaluation.json beside candidates.json.

    Args:
        settings: settings of the run.
        tables, split: training data of the models.
        candidates: result of the stage ensemble.
        data_changes: changes of the data; None if they were not compared.

    Raises:
        DataError: the result of a candidate is missing, or of another release.
    """
    listed, folder = CandidateList.read(candidates.path), candidates.path.parent
    cells, reference = CellSplit.from_json(split.path.read_text()), settings.data.soh_reference
    rows = labelled_rows(tables.path, cells, reference)
    train, test = rows[rows["subset"] == "train"], rows[rows["subset"] == "test"].reset_index(drop=True)
    runs = settings.folder("artifacts") / "runs"
    results = [
        TrainingResult.read(runs / run / RESULT_FILE).model_copy(update={"reused": run in listed.reused})
        for run in listed.run_ids
    ]
    baselines, probe = evaluate_baselines(train, test, reference)
    content = describe_data(settings, tables, split, rows) | {
        "models": [evaluate_candidate(result, runs, test, reference) for result in results],
        "baselines": baselines,
        "leak_probe": probe,
        "news": data_changes,
        "drift": measure_drift(*compared_features(settings, rows)).to_dict(orient="records"),
    }
    file = folder / EVALUATION_FILE
    Evaluation.model_validate(content).write(file)
    message = f"evaluate: {len(results)} models and {len(baselines)} baselines on {len(cells.test)} test cells"
    return StageResult(file, stage_key(tables.version, split.version, candidates.version), False, message)


def evaluate_candidate(result: TrainingResult, runs: Path, test: pd.DataFrame, reference: str) -> dict[str, Any]:
    """Return the result of a finished job with its scores and those of its intervals on the test rows."""
    if result.conformal is None:
        raise TrainingError(f"evaluate: '{result.run_id}' has no calibrated intervals - train it again")
    run, fields = runs / result.run_id, result.model_dump(by_alias=True)
    return fields | {
        "test": evaluate_predictions(test, predictions_for(run, test), reference),
        "intervals": intervals_for(run, test, fields["conformal"], reference),
    }


def describe_data(settings: Settings, tables: StageResult, split: StageResult, rows: pd.DataFrame) -> dict[str, Any]:
    """Return the description of the data: source, versions, split, row counts and scope of each subset."""
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
        "rows": counts | {name: int((rows["subset"] == name).sum()) for name in ("train", "val", "test", "unused")},
        "scope": {name: scope(rows[rows["subset"] == name]) for name in ("train", "val", "test")},
        "interval_method": METHOD,
    }


def predictions_for(run_folder: Path, test: pd.DataFrame) -> Any:
    """Return the predictions of a finished job for these test rows, in their order."""
    return _predictions(run_folder, test)["prediction"].to_numpy(dtype=float)


def intervals_for(run_folder: Path, test: pd.DataFrame, conformal: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """Return coverage and width of the intervals of a finished job on these test rows."""
    predictions = _predictions(run_folder, test)[["prediction", "in_distribution", "outside", "soh_spread"]]
    # a row without a prediction counts as out of distribution
    in_distribution = predictions["in_distribution"].fillna(False).astype(bool)
    return evaluate_intervals(test.join(predictions.assign(in_distribution=in_distribution)), conformal, reference)


def _predictions(run_folder: Path, test: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions of a finished job for these test rows, with their index."""
    predictions = pd.read_parquet(run_folder / PREDICTIONS_FILE).set_index(["cell_id", "checkup_index"])
    wanted = pd.MultiIndex.from_frame(test[["cell_id", "checkup_index"]])
    return predictions.reindex(wanted).set_index(test.index)
