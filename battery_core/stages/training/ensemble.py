"""ensemble: one more candidate, the weighted mean of the trained models, and the list of candidates to evaluate."""

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
KERNEL_RIDGE = "kernel_ridge"  # quick to fit anew: it has a closed form


def ensemble(
    settings: Settings,
    tables: StageResult,
    split: StageResult,
    results: Sequence[Mapping[str, Any]],
    folder: Path,
) -> StageResult:
    """Build the weighted ensemble where it errs no more than the best model, and list the candidates of the run.

    Args:
        settings: of the run.
        tables, split: what the models were trained on.
        results: of the training jobs.
        folder: of the run's reports; candidates.json is written there.

    Raises:
        TrainingError: no training job left a result.
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
    """Build the weighted ensemble of trained models; one that is there for exactly these models is not built again.

    Args:
        settings: of the run.
        rows: labelled rows with the part of the split they are in.
        results: of the training jobs.

    Returns:
        A result like that of a training job, or None where there is nothing to mix, or where one model alone errs less
        on the validation cells than the mean does, by more than chance.
    """
    runs, reference = settings.folder("artifacts") / "runs", settings.data.soh_reference
    said = {result["run_id"]: pd.read_parquet(runs / result["run_id"] / PREDICTIONS_FILE) for result in results}
    calibration_rows = {run: drop_reference_checkup(p[p["subset"] == "val"], reference) for run, p in said.items()}
    first = next(iter(calibration_rows.values()))
    cells, estimates = first["cell_id"].tolist(), {run: p["prediction"] for run, p in calibration_rows.items()}
    given = settings.ensemble
    weights = weights_by_error(first["soh"], cells, estimates, given.min_weight)
    if not given.enabled or len(weights) < 2 or _one_is_better(first, estimates, weights, given.confidence):
        return None
    keys = {result["run_id"]: result["key"] for result in results}
    key = stage_key(
        {keys[run]: share for run, share in weights.items()},
        sorted(keys.values()),  # those left out need not be where another cell is left out, and so are in the intervals
        given.model_dump(mode="json"),
        settings.uncertainty.model_dump(mode="json"),
        code_version(build_ensemble),
    )
    folder = runs / f"{settings.data.source}-{NAME}-{key[:10]}"
    standing: dict[str, Any] | None = read_json(folder / RESULT_FILE)
    if standing is not None and standing["key"] == key:
        return {**standing, "reused": True}
    unseen = first.assign(prediction=leave_cell_out_mean(first["soh"], cells, estimates, given.min_weight))
    kernel_ridge = next((result["run_id"] for result in results if result["model"] == KERNEL_RIDGE), None)
    result = _make(settings, rows, weights, unseen, folder, kernel_ridge if given.compare_cells else None)
    names = {result["run_id"]: result["model"] for result in results}
    result |= {"parts": {names[run]: share for run, share in weights.items()}, "key": key, "run_id": folder.name}
    made = TrainingResult.model_validate(result)
    made.write(folder / RESULT_FILE)
    return made.to_json()


def _one_is_better(
    calibration_rows: pd.DataFrame,
    estimates: Mapping[str, pd.Series[float]],
    weights: Mapping[str, float],
    confidence: float,
) -> bool:
    """Whether some model errs less on the validation cells than the mean of all, by more than chance.

    Training was stopped on these cells, so that single models look better there than they are; the mean less so.
    """
    mean = sum(share * estimates[run] for run, share in weights.items())
    errors = {
        run: per_cell_errors(calibration_rows["cell_id"], calibration_rows["soh"], said).mape
        for run, said in {**estimates, NAME: mean}.items()
    }
    theirs = errors.pop(NAME)
    known = [ours for ours in errors.values() if np.isfinite(ours).all()]
    return any(paired_gain(ours, theirs).p_value <= 1 - confidence for ours in known)


def _make(
    settings: Settings,
    rows: pd.DataFrame,
    weights: Mapping[str, float],
    unseen: pd.DataFrame,
    folder: Path,
    kernel_ridge: str | None,
) -> dict[str, Any]:
    """Calibrate the mean, write it down and say what it does on validation and test cells.

    ``unseen`` has what it says of cells that did not tell its shares: what the intervals are calibrated on. ``kernel``
    is the run whose model says how hard these cells are among all that it was not tested on; None: not asked.
    """
    started, reference = time.perf_counter(), settings.data.soh_reference
    parts = tuple(Pipeline.load(folder.parent / run / PIPELINE_FOLDER) for run in weights)
    facts = {**parts[0].metadata, "run_id": folder.name, "parts": dict(weights)}
    mix = calibrated(
        WeightedEnsemble(parts, tuple(weights.values()), facts), rows, reference, settings.uncertainty, unseen
    )
    if kernel_ridge is not None and mix.conformal is not None:
        factor = _for_the_draw(Pipeline.load(folder.parent / kernel_ridge / PIPELINE_FOLDER), rows, unseen, settings)
        mix = replace(mix, conformal=mix.conformal.corrected(factor))
    with run_record(folder.parent, folder.name, {"model": NAME, "parts": dict(weights)}):
        told = write_candidate(mix, rows, folder, reference, {})
    return told | {
        "features": sorted({name for part in parts for name in part.feature_names}),
        "seconds": round(time.perf_counter() - started, 3),
    }


def _for_the_draw(kernel_ridge: Pipeline, rows: pd.DataFrame, calibrating: pd.DataFrame, settings: Settings) -> float:
    """What the intervals are multiplied by: the calibration cells may be easy or hard ones among all but the test."""
    told = rows[rows["subset"].isin(["train", "val"])]
    scores = drop_reference_checkup(out_of_fold_scores(kernel_ridge, told), settings.data.soh_reference)
    cells = set(calibrating["cell_id"].astype(str))
    return calibration_correction(scores["score"], scores["cell_id"], cells, settings.uncertainty.coverage)
