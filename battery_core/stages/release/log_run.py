"""Log a retraining run in MLflow: report, figures, a child run for each model, and the package of the challenger."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from battery_core.evaluation.metrics.scores import PRIMARY_METRIC
from battery_core.files import read_json
from battery_core.predictors.weighted_ensemble import load_predictor
from battery_core.release.model_registry import mlflow_client
from battery_core.release.package.mlflow_model import log_pipeline
from battery_core.settings import Settings
from battery_core.stages.release.compare import challenger_of
from battery_core.stages.training.candidate import PIPELINE_FOLDER
from battery_core.tracking.local_tracker import RUN_FILE, LocalTracker
from battery_core.tracking.mlflow_tracker import send_run

ONNX_FOLDER = "onnx"


def log_run(
    settings: Settings, report: Mapping[str, Any], folder: Path, run_name: str, uri: str, tags: Mapping[str, Any]
) -> str:
    """Log one MLflow run with report and figures, and a child run for each model; return its id.

    The local folders are complete first. A reused model keeps its run and the parent of that run.
    """
    if (read_json(folder / RUN_FILE) or {}).get("status") != "FINISHED":  # otherwise an earlier attempt wrote it
        tracker = LocalTracker(folder.parent, use_tensorboard=False)
        tracker.start_run(run_name, settings, run_id=folder.name)
        tracker.set_tags(tags)
        tracker.log_metrics(_metrics(challenger_of(report)["test"]))
        tracker.end_run()
    run_id = send_run(folder, uri, settings.tracking.experiment)
    client = mlflow_client(uri)
    for model in report["models"]:
        run = send_run(settings.folder("artifacts") / "runs" / model["run_id"], uri, settings.tracking.experiment)
        client.set_tag(run_id, f"model.{model['model']}", run)
        if not model["reused"] or "mlflow.parentRunId" not in client.get_run(run).data.tags:
            client.set_tag(run, "mlflow.parentRunId", run_id)
            for name, value in {**tags, "model": model["model"]}.items():
                client.set_tag(run, name, str(value))
        for name, value in _metrics(model["test"]).items():
            client.log_metric(run, f"test_{name}", value)
    return run_id


def log_challenger(settings: Settings, challenger: Mapping[str, Any], mlflow_run: str, uri: str) -> str:
    """Log the package of the challenger in the MLflow run; return the URI of the logged model."""
    import mlflow

    folder = settings.folder("artifacts") / "runs" / challenger["run_id"] / PIPELINE_FOLDER
    mlflow.set_tracking_uri(uri)
    with mlflow.start_run(run_id=mlflow_run):
        return log_pipeline(folder)


def log_onnx(settings: Settings, report: Mapping[str, Any], rows: pd.DataFrame, mlflow_run: str, uri: str) -> None:
    """Check the ONNX graphs of the challenger and log them in the folder ``onnx`` of the MLflow run.

    Raises:
        TrainingError: a graph predicts something else than its model.
    """
    from battery_core.release.package.onnx_export import export_onnx

    pipeline_folder = settings.folder("artifacts") / "runs" / report["challenger"] / PIPELINE_FOLDER
    with tempfile.TemporaryDirectory() as scratch:
        written = export_onnx(load_predictor(pipeline_folder), rows[rows["subset"] == "test"], Path(scratch))
        client = mlflow_client(uri)
        client.log_artifacts(mlflow_run, scratch, ONNX_FOLDER)
        client.set_tag(mlflow_run, "onnx", ", ".join(written) or "no perceptron or LSTM in the candidate")


def _metrics(scores: Mapping[str, Any]) -> dict[str, float]:
    named = {name: scores[name] for name in (PRIMARY_METRIC, "mean_cell_rmse", "worst_cell_rmse")}
    return {name: float(value) for name, value in named.items() if value is not None}
