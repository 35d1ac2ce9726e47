"""Turn a fitted model into a candidate: calibrate, save, and predict validation and test cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from battery_core.evaluation.metrics.per_cell import drop_reference_checkup, per_cell_errors
from battery_core.files import whole_folder, write_json
from battery_core.predictors.pipeline import Pipeline
from battery_core.predictors.weighted_ensemble import WeightedEnsemble, load_predictor
from battery_core.tracking.local_tracker import LocalTracker
from battery_core.training.metrics import compute_metrics
from battery_core.uncertainty.conformal import Conformal
from battery_core.uncertainty.settings import UncertaintySettings
from battery_core.uncertainty.training_domain import TrainingDomain

PREDICTIONS_FILE = "predictions.parquet"
PIPELINE_FOLDER = "pipeline"
HISTORY_FILE = "history.json"

Candidate = TypeVar("Candidate", Pipeline, WeightedEnsemble)


@contextmanager
def run_record(
    runs: Path | str, run_id: str, metadata: Mapping[str, Any], cut_off: bool = False
) -> Iterator[LocalTracker]:
    """Open the run record of a candidate: settings, curves for TensorBoard, status."""
    tracker = LocalTracker(runs)
    if cut_off:  # an interrupted training resumes, and so does its record
        tracker.resume_run(run_id)
    else:
        tracker.start_run(run_id, metadata, run_id=run_id)
    try:
        yield tracker
    except BaseException:  # Ctrl-C too: an open record looks like a running job
        tracker.end_run("FAILED")
        raise
    tracker.end_run()


def calibrated(
    model: Candidate,
    rows: pd.DataFrame,
    reference: str,
    settings: UncertaintySettings,
    calibration_rows: pd.DataFrame | None = None,
) -> Candidate:
    """Return the model with conformal intervals from the validation cells and the training domain.

    No weight is fitted to the validation cells.

    Args:
        model: fitted model.
        rows: labelled rows with their subset.
        reference: capacity that SOH is relative to.
        settings: coverage of the intervals, margins of the training domain.
        calibration_rows: cell_id, soh and prediction of validation check-ups; by default predictions of the model.
    """
    if calibration_rows is None:
        val = rows[rows["subset"] == "val"]
        calibration_rows = drop_reference_checkup(val.assign(prediction=model.predict(val)), reference)
    domain = TrainingDomain.of(
        rows[rows["subset"] == "train"], model.raw_columns, settings.range_quantile, settings.range_margin
    )
    conformal = Conformal.conformalize(
        calibration_rows["soh"], calibration_rows["prediction"], calibration_rows["cell_id"], settings.coverage
    )
    return replace(model, conformal=conformal, training_domain=domain)


def write_candidate(
    model: Pipeline | WeightedEnsemble, rows: pd.DataFrame, folder: Path, reference: str, history: Mapping[str, Any]
) -> dict[str, Any]:
    """Save the model in its run folder, load it again, and predict validation and test cells with it.

    The scored model is thus the saved one.

    Args:
        model: calibrated model.
        rows: labelled rows with their subset.
        folder: folder of the run.
        reference: capacity that SOH is relative to.
        history: training history, such as losses by epoch.

    Returns:
        The fields of the candidate in a report, without scores on test cells.
    """
    with whole_folder(folder / PIPELINE_FOLDER) as tmp:
        model.save(tmp)
    write_json(folder / HISTORY_FILE, history)
    loaded = load_predictor(folder / PIPELINE_FOLDER)
    predicted_rows = rows[rows["subset"].isin(["val", "test"])]
    estimates = loaded.predict_interval(predicted_rows, details=True).rename(columns={"soh": "prediction"})
    predictions = predicted_rows[["cell_id", "checkup_index", "subset", "soh"]].join(estimates)
    predictions.to_parquet(folder / PREDICTIONS_FILE, index=False)
    validation = predictions[predictions["subset"] == "val"]
    counted = drop_reference_checkup(validation, reference)
    errors = per_cell_errors(counted["cell_id"], counted["soh"], counted["prediction"])
    return {
        "model": loaded.model_name,
        "val": compute_metrics(validation["soh"].to_numpy(), validation["prediction"].to_numpy()),
        "val_mean_cell_mape": errors.mean_mape,
        "conformal": loaded.conformal.to_json() if loaded.conformal else None,
        "n_train_rows": int((rows["subset"] == "train").sum()),
    }
