"""Write the run down in MLflow, register the challenger, and decide whether it serves: the only writer of a night."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from battery_core.artifacts import StageResult
from battery_core.data.splits.cell_split import CellSplit
from battery_core.evaluation.metrics.scores import PRIMARY_METRIC
from battery_core.files import read_json, write_json
from battery_core.predictors.weighted_ensemble import NAME as ENSEMBLE
from battery_core.release.model_registry import (
    CHAMPION,
    ERROR_TAG,
    JOB_TAG,
    ModelRegistry,
    Version,
    mlflow_client,
)
from battery_core.release.promotion import Decision
from battery_core.release.provenance import code_state
from battery_core.release.retrain_key import RETRAIN_KEY_TAG, retrain_key
from battery_core.reporting.html.page import write_page
from battery_core.settings import Settings
from battery_core.stages.data.snapshot import data_version
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.registry import open_registry, registered_name
from battery_core.stages.release.compare import asking, challenger_of, judge
from battery_core.stages.release.log_run import log_challenger, log_night, log_onnx
from battery_core.tracking.mlflow_tracker import store_answers

OUTCOME_FILE = "outcome.json"


@dataclass(frozen=True)
class Outcome:
    """What a night came to.

    Args:
        version: number of the new model version.
        name: the registered model.
        promoted: whether it serves now.
        reason: why, in words.
        champion: number of the version that serves after this run, or None.
        mlflow_run: id of the MLflow run that holds report and figures.
        report: folder of the report.
    """

    version: int
    name: str
    promoted: bool
    reason: str
    champion: int | None
    mlflow_run: str
    report: Path


def release(settings: Settings, tables: StageResult, split: StageResult, report: StageResult, run_name: str) -> Outcome:
    """Register the challenger and promote it if it wins on the same rows, scored at the same moment.

    May be called again for the same night: it has one model version, whatever went wrong in between.

    Raises:
        TrackingError: the registry does not answer.
        TrainingError: with ``release.onnx`` a graph says something else than its model.
    """
    uri = open_registry(settings)
    with store_answers(uri):
        return _release(settings, tables, split, report, run_name, uri)


def _release(
    settings: Settings, tables: StageResult, split: StageResult, report: StageResult, run_name: str, uri: str
) -> Outcome:
    content, folder = read_json(report.path), report.path.parent
    registry = ModelRegistry(uri, registered_name(settings))
    code = code_state()
    restore = data_version(settings, content["data_version"], tables, split)
    jobs = [model["key"] for model in content["models"] if model["model"] != ENSEMBLE]  # that is not a job
    tags = {
        "source": content["source"],
        "label": content["label"],
        "simulated": content["simulated"],
        "data_version": content["data_version"],
        "split_version": split.version,
        "git_commit": code.commit,
        "git_dirty": code.dirty,
        "flow_run": run_name,
        "tables_md5": restore.tables,
        "split_md5": restore.split,
        "split_file": restore.split_file,
        RETRAIN_KEY_TAG: retrain_key(content["data_version"], jobs, settings.release, settings.ensemble, code.dirty),
    }
    rows = labelled_rows(tables.path, CellSplit.from_json(split.path.read_text()), settings.data.soh_reference)
    with asking(settings, registry, rows) as champion:
        mlflow_run = log_night(settings, content, folder, run_name, uri, tags)
        version = registry.of_run(mlflow_run)
        if version is None:
            decision, scores = judge(settings, content, rows, registry, champion, code.dirty)
            if settings.release.onnx:
                log_onnx(settings, content, rows, mlflow_run, uri)
            version = _register(settings, registry, content, decision, tags, mlflow_run, uri)
        else:  # an earlier try of this night came as far as this
            decision, scores = Decision(version.tags["promoted"] == "True", version.tags["reason"]), {}
    if decision.promote:
        registry.promote(version, decision.reason)
    serving = registry.version_by_alias(CHAMPION)
    number = serving.number if serving else None
    outcome = Outcome(version.number, registry.name, decision.promote, decision.reason, number, mlflow_run, folder)
    write_json(folder / OUTCOME_FILE, asdict(outcome) | {"contest": scores, "tags": tags})
    mlflow_client(uri).log_artifact(mlflow_run, str(write_page(folder, asdict(outcome))))  # now with the decision
    return outcome


def _register(
    settings: Settings,
    registry: ModelRegistry,
    report: Mapping[str, Any],
    decision: Decision,
    tags: Mapping[str, Any],
    mlflow_run: str,
    uri: str,
) -> Version:
    """The challenger as the next version, with all that is known of it."""
    challenger = challenger_of(report)
    facts = {
        "model": challenger["model"],
        ERROR_TAG: challenger["test"][PRIMARY_METRIC],
        JOB_TAG: challenger["key"],
        "reason": decision.reason,
        "promoted": decision.promote,
    }
    model_uri = log_challenger(settings, challenger, mlflow_run, uri)
    return registry.add(model_uri, mlflow_run, {**tags, **facts}, decision.reason)
