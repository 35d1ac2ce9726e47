"""A fitted model becomes a candidate: calibrated, written down, and asked about cells it has not seen."""

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
    """A candidate's own run record: settings, curves for TensorBoard, status."""
    tracker = LocalTracker(runs)
    if cut_off:  # while training: it goes on, and so does its record
        tracker.resume_run(run_id)
    else:
        tracker.start_run(run_id, metadata, run_id=run_id)
    try:
        yield tracker
    except BaseException:  # Ctrl-C too: a record left open would pass for a run that is still going
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
    """Intervals from the validation cells, which no weight was fitted to, and the training cells' range of values.

    Args:
        model: fitted.
        rows: labelled rows with the part of the split they are in.
        reference: what SOH is relative to.
        settings: coverage of the intervals, width of the range.
        calibration_rows: cell_id, soh and prediction of validation check-ups; by default the model's own estimates.
    """
    if calibration_rows is None:
        val = rows[rows["subset"] == "val"]
        calibration_rows = drop_reference_checkup(val.assign(prediction=model.predict(val)), reference)
    seen = TrainingDomain.of(
        rows[rows["subset"] == "train"], model.raw_columns, settings.range_quantile, settings.range_margin
    )
    conformal = Conformal.conformalize(
        calibration_rows["soh"], calibration_rows["prediction"], calibration_rows["cell_id"], settings.coverage
    )
    return replace(model, conformal=conformal, training_domain=seen)


def write_candidate(
    model: Pipeline | WeightedEnsemble, rows: pd.DataFrame, folder: Path, reference: str, history: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the model into its run folder and predict validation and test cells with what was written.

    What serves later is what is scored here.

    Args:
        model: calibrated.
        rows: labelled rows with the part of the split they are in.
        folder: of the run.
        reference: what SOH is relative to.
        history: what its fitting went through.

    Returns:
        What a report says of a candidate before the test cells are looked at.
    """
    with whole_folder(folder / PIPELINE_FOLDER) as home:
        model.save(home)
    write_json(folder / HISTORY_FILE, history)
    served = load_predictor(folder / PIPELINE_FOLDER)
    judged = rows[rows["subset"].isin(["val", "test"])]
    estimates = served.predict_interval(judged, details=True).rename(columns={"soh": "prediction"})
    predictions = judged[["cell_id", "checkup_index", "subset", "soh"]].join(estimates)
    predictions.to_parquet(folder / PREDICTIONS_FILE, index=False)
    validation = predictions[predictions["subset"] == "val"]
    counted = drop_reference_checkup(validation, reference)
    errors = per_cell_errors(counted["cell_id"], counted["soh"], counted["prediction"])
    return {
        "model": served.model_name,
        "val": compute_metrics(validation["soh"].to_numpy(), validation["prediction"].to_numpy()),
        "val_mean_cell_mape": errors.mean_mape,
        "conformal": served.conformal.to_json() if served.conformal else None,
        "n_train_rows": int((rows["subset"] == "train").sum()),
    }
