"""Log the run in MLflow, register the challenger and move the alias; the only writer of the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from battery_core.artifacts import Comparison, EvaluationReport, ReleaseResult, StageResult
from battery_core.data.splits.cell_split import CellSplit
from battery_core.evaluation.metrics.scores import PRIMARY_METRIC
from battery_core.predictors.weighted_ensemble import NAME as ENSEMBLE
from battery_core.release.model_registry import ModelRegistry, Version, mlflow_client
from battery_core.release.promotion import Decision
from battery_core.release.provenance import code_state
from battery_core.release.retrain_key import retrain_key
from battery_core.release.wire_format import CHAMPION, ERROR_TAG, JOB_TAG, RETRAIN_KEY_TAG
from battery_core.reporting.html.page import write_page
from battery_core.settings import Settings
from battery_core.stages.data.snapshot import data_version
from battery_core.stages.evaluation.select import REPORT_FILE
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.registry import open_registry, registered_name
from battery_core.stages.release.compare import challenger_of
from battery_core.stages.release.log_run import log_challenger, log_onnx, log_run
from battery_core.tracking.mlflow_tracker import is_store_reachable

OUTCOME_FILE = "outcome.json"


def promote(
    settings: Settings, tables: StageResult, split: StageResult, comparison: StageResult, run_name: str
) -> ReleaseResult:
    """Log the run in MLflow, register the challenger, and promote it if the comparison decides so; write outcome.json.

    A repeated call for the same run is safe: it registers one model version only.

    Raises:
        DataError: comparison.json does not exist.
        TrackingError: the registry does not answer.
        TrainingError: with ``release.onnx`` a graph predicts something else than its model.
    """
    uri = open_registry(settings)
    with is_store_reachable(uri):
        return _promote(settings, tables, split, comparison, run_name, uri)


def _promote(
    settings: Settings,
    tables: StageResult,
    split: StageResult,
    comparison: StageResult,
    run_name: str,
    uri: str,
) -> ReleaseResult:
    folder = comparison.path.parent
    content, compared = EvaluationReport.read(folder / REPORT_FILE).to_json(), Comparison.read(comparison.path)
    registry = ModelRegistry(uri, registered_name(settings))
    code = code_state()
    restore = data_version(settings, content["data_version"], tables, split)
    jobs = [model["key"] for model in content["models"] if model["model"] != ENSEMBLE]  # the ensemble is not a job
    tags = {
        "source": content["source"],
        "label": content["label"],
        "simulated": content["simulated"],
        "data_version": content["data_version"],
        "split_version": split.version,
        "git_commit": code.commit,
        "git_dirty": code.is_dirty,
        "flow_run": run_name,
        "tables_md5": restore.tables,
        "split_md5": restore.split,
        "split_file": restore.split_file,
        RETRAIN_KEY_TAG: retrain_key(content["data_version"], jobs, settings.release, settings.ensemble, code.is_dirty),
    }
    mlflow_run = log_run(settings, content, folder, run_name, uri, tags)
    version = registry.version_of_run(mlflow_run)
    figures: Comparison | None = compared
    if version is None:
        decision = Decision(compared.promote, compared.reason)
        if settings.release.onnx:
            cells = CellSplit.from_json(split.path.read_text())
            rows = labelled_rows(tables.path, cells, settings.data.soh_reference)
            log_onnx(settings, content, rows, mlflow_run, uri)
        version = _register(settings, registry, content, decision, tags, mlflow_run, uri)
    else:  # an earlier attempt of this run registered the version
        decision, figures = Decision(version.tags["promoted"] == "True", version.tags["reason"]), None
    if decision.promote:
        registry.promote(version, decision.reason)
    champion = registry.version_by_alias(CHAMPION)
    result = ReleaseResult(
        version=version.number,
        name=registry.name,
        promoted=decision.promote,
        reason=decision.reason,
        champion=champion.number if champion else None,
        mlflow_run=mlflow_run,
        report=folder,
        comparison=figures,
        tags={name: str(value) for name, value in tags.items()},
    )
    result.write(folder / OUTCOME_FILE)
    mlflow_client(uri).log_artifact(mlflow_run, str(write_page(folder, result.to_json())))  # now with the decision
    return result


def _register(
    settings: Settings,
    registry: ModelRegistry,
    report: Mapping[str, Any],
    decision: Decision,
    tags: Mapping[str, Any],
    mlflow_run: str,
    uri: str,
) -> Version:
    """Register the challenger as the next version, with its tags."""
    challenger = challenger_of(report)
    metadata = {
        "model": challenger["model"],
        ERROR_TAG: challenger["test"][PRIMARY_METRIC],
        JOB_TAG: challenger["key"],
        "reason": decision.reason,
        "promoted": decision.promote,
    }
    model_uri = log_challenger(settings, challenger, mlflow_run, uri)
    return registry.add(model_uri, mlflow_run, {**tags, **metadata}, decision.reason)
