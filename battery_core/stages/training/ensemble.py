"""Build the weighted ensemble of the trained models, and list the candidates to evaluate."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from battery_core.artifacts import CandidateList, StageResult, TrainingResult
from battery_core.code_version import code_version
from battery_core.data.splits.cell_split import CellSplit
from battery_core.errors import TrainingError
from battery_core.evaluation.metrics.bootstrap import paired_gain
from battery_core.evaluation.metrics.per_cell import drop_reference_checkup, per_cell_errors
from battery_core.files import read_json
from battery_core.jobs import RESULT_FILE
from battery_core.predictors.calibration_correction import calibration_correction, out_of_fold_scores
from battery_core.predictors.ensemble_weights import leave_cell_out_mean, weights_by_error
from battery_core.predictors.pipeline import Pipeline
from battery_core.predictors.weighted_ensemble import NAME, WeightedEnsemble
from battery_core.stages.common import stage_key
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.training.candidate import (
    PIPELINE_FOLDER,
    PREDICTIONS_FILE,
    calibrated,
    run_record,
    write_candidate,
)

if TYPE_CHECKING:
    from battery_core.settings import Settings

CANDIDATES_FILE = "candidates.json"
KERNEL_RIDGE = "kernel_ridge"  # fast to refit: the solution has a closed form


def ensemble(
    settings: Settings,
    tables: StageResult,
    split: StageResult,
    results: Sequence[Mapping[str, Any]],
    folder: Path,
) -> StageResult:
    """Build the weighted ensemble unless a single model is significantly better, and list the candidates of the run.

    Args:
        settings: settings of the run.
        tables, split: training data of the models.
        results: results of the training jobs.
        folder: report folder of the run, for candidates.json.

    Raises:
        TrainingError: no training job has a result.
    """
    if not results:
        raise TrainingError("ensemble: no training job left a result - see the failed jobs above")
    cells = CellSplit.from_json(split.path.read_text())
    rows = labelled_rows(tables.path, cells, settings.data.soh_reference)
    weighted = build_ensemble(settings, rows, results)
    candidates = [*results, weighted] if weighted else list(results)
    reason = "built" if weighted else "not built: switched off, one model alone, or a single model is surely better"
    made = CandidateList(
        run_ids=tuple(result["run_id"] for result in candidates),
        reused=tuple(result["run_id"] for result in candidates if result["reused"]),
        ensemble=reason,
    )
    file = folder / CANDIDATES_FILE
    made.write(file)
    version = stage_key(sorted(result["key"] for result in candidates))
    text = f"ensemble: {reason}; {len(candidates)} candidates"
    return StageResult(file, version, bool(weighted and weighted["reused"]), text)


def build_ensemble(
    settings: Settings, rows: pd.DataFrame, results: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Build the weighted ensemble of trained models, or reuse the one of exactly these models.

    Args:
        settings: settings of the run.
        rows: labelled rows with their subset.
        results: results of the training jobs.

    Returns:
        A result like that of a training job; None for fewer than two weighted models, or if a single model is
        significantly better than the ensemble on the validation cells.
    """
    runs, reference = settings.folder("artifacts") / "runs", settings.data.soh_reference
    predictions = {result["run_id"]: pd.read_parquet(runs / result["run_id"] / PREDICTIONS_FILE) for result in results}
    calibration_rows = {
        run: drop_reference_checkup(p[p["subset"] == "val"], reference) for run, p in predictions.items()
    }
    first = next(iter(calibration_rows.values()))
    cells, estimates = first["cell_id"].tolist(), {run: p["prediction"] for run, p in calibration_rows.items()}
    options = settings.ensemble
    weights = weights_by_error(first["soh"], cells, estimates, options.min_weight)
    if not options.enabled or len(weights) < 2 or _is_one_better(first, estimates, weights, options.confidence):
        return None
    keys = {result["run_id"]: result["key"] for result in results}
    key = stage_key(
        {keys[run]: weight for run, weight in weights.items()},
        sorted(keys.values()),  # a model without weight here may have one in a fold of leave_cell_out_mean
        options.model_dump(mode="json"),
        settings.uncertainty.model_dump(mode="json"),
        code_version(build_ensemble),
    )
    folder = runs / f"{settings.data.source}-{NAME}-{key[:10]}"
    finished: dict[str, Any] | None = read_json(folder / RESULT_FILE)
    if finished is not None and finished["key"] == key:
        return {**finished, "reused": True}
    unseen = first.assign(prediction=leave_cell_out_mean(first["soh"], cells, estimates, options.min_weight))
    kernel_ridge = next((result["run_id"] for result in results if result["model"] == KERNEL_RIDGE), None)
    result = _make(settings, rows, weights, unseen, folder, kernel_ridge if options.compare_cells else None)
    names = {result["run_id"]: result["model"] for result in results}
    result |= {"parts": {names[run]: weight for run, weight in weights.items()}, "key": key, "run_id": folder.name}
    made = TrainingResult.model_validate(result)
    made.write(folder / RESULT_FILE)
    return made.to_json()


def _is_one_better(
    calibration_rows: pd.DataFrame,
    estimates: Mapping[str, pd.Series[float]],
    weights: Mapping[str, float],
    confidence: float,
) -> bool:
    """Return whether a single model has a significantly lower error than the ensemble on the validation cells.

    Early stopping used these cells, so that errors of single models are too low there; the ensemble is less biased.
    """
    mean = sum(weight * estimates[run] for run, weight in weights.items())
    errors = {
        run: per_cell_errors(calibration_rows["cell_id"], calibration_rows["soh"], prediction).mape
        for run, prediction in {**estimates, NAME: mean}.items()
    }
    ensemble_errors = errors.pop(NAME)
    finite = [model_errors for model_errors in errors.values() if np.isfinite(model_errors).all()]
    return any(paired_gain(model_errors, ensemble_errors).p_value <= 1 - confidence for model_errors in finite)


def _make(
    settings: Settings,
    rows: pd.DataFrame,
    weights: Mapping[str, float],
    unseen: pd.DataFrame,
    folder: Path,
    kernel_ridge: str | None,
) -> dict[str, Any]:
    """Calibrate and save the ensemble, and predict validation and test cells with it.

    Args:
        settings: settings of the run.
        rows: labelled rows with their subset.
        weights: weight of each run.
        unseen: validation rows, each predicted with weights from the other cells; they calibrate the intervals.
        folder: run folder of the ensemble.
        kernel_ridge: run whose model measures the difficulty of the calibration cells; None for no correction.
    """
    started, reference = time.perf_counter(), settings.data.soh_reference
    members = tuple(Pipeline.load(folder.parent / run / PIPELINE_FOLDER) for run in weights)
    metadata = {**members[0].metadata, "run_id": folder.name, "parts": dict(weights)}
    model = calibrated(
        WeightedEnsemble(members, tuple(weights.values()), metadata), rows, reference, settings.uncertainty, unseen
    )
    if kernel_ridge is not None and model.conformal is not None:
        factor = _correction_factor(
            Pipeline.load(folder.parent / kernel_ridge / PIPELINE_FOLDER), rows, unseen, settings
        )
        model = replace(model, conformal=model.conformal.corrected(factor))
    with run_record(folder.parent, folder.name, {"model": NAME, "parts": dict(weights)}):
        scores = write_candidate(model, rows, folder, reference, {})
    return scores | {
        "features": sorted({name for member in members for name in member.feature_names}),
        "seconds": round(time.perf_counter() - started, 3),
    }


def _correction_factor(
    kernel_ridge: Pipeline, rows: pd.DataFrame, calibration_rows: pd.DataFrame, settings: Settings
) -> float:
    """Return the factor of the interval widths, for calibration cells that are easier or harder than the others."""
    fit_rows = rows[rows["subset"].isin(["train", "val"])]
    scores = drop_reference_checkup(out_of_fold_scores(kernel_ridge, fit_rows), settings.data.soh_reference)
    cells = set(calibration_rows["cell_id"].astype(str))
    return calibration_correction(scores["score"], scores["cell_id"], cells, settings.uncertainty.coverage)
