"""Write the run down in MLflow, register the challenger, and decide whether it serves: the only writer of a night."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from battery_core.data.splits import CellSplit
from battery_core.evaluation.report import HEADLINE
from battery_core.files import read_json, write_json
from battery_core.models.blend import load_estimator
from battery_core.release.contest import contest_of
from battery_core.release.model_registry import (
    CHAMPION,
    ERROR_TAG,
    JOB_TAG,
    WITHDRAWN_TAG,
    ModelRegistry,
    Version,
    local_database,
    mlflow_client,
)
from battery_core.release.night import NIGHT_KEY, night_key
from battery_core.release.packaging import log_pipeline
from battery_core.release.promotion import Decision, decide
from battery_core.release.provenance import code_state
from battery_core.settings import Settings
from battery_core.stages import Staged
from battery_core.stages.candidate import PIPELINE_FOLDER
from battery_core.stages.evaluate import REPORT_FILE
from battery_core.stages.keep import data_version
from battery_core.stages.page import write_page
from battery_core.stages.train import labelled_rows
from battery_core.tracking.local_tracker import RUN_FILE, LocalTracker
from battery_core.tracking.mlflow_tracker import ensure_store, resolve_uri, send_run, store_answers

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


def tracking_uri(settings: Settings) -> str:
    """Where MLflow keeps runs and models: one absolute database, whatever the current directory is."""
    given = settings.tracking.mlflow_uri or f"sqlite:///{settings.folder('artifacts').resolve() / 'mlflow.db'}"
    return resolve_uri(given)[0]


def registered_name(settings: Settings) -> str:
    """The registered model of the source."""
    return settings.release.registered_model or f"soh-{settings.data.source}"


def lock_file(settings: Settings) -> Path:
    """The lock that all runs on the same registry share: beside its database, else in the artifacts folder."""
    database = local_database(tracking_uri(settings))
    return (database.parent if database else settings.folder("artifacts")) / "train.lock"


def open_registry(settings: Settings) -> str:
    """Make sure the store is there before anything is written; returns its URI."""
    uri = tracking_uri(settings)
    ensure_store(uri)
    return uri


def release(settings: Settings, tables: Staged, split: Staged, report: Staged, run_name: str) -> Outcome:
    """Register the challenger and promote it if it wins on the same rows, scored at the same moment.

    May be called again for the same night: it has one model version, whatever went wrong in between.

    Raises:
        TrackingError: the registry does not answer.
    """
    uri = open_registry(settings)
    with store_answers(uri):
        return _release(settings, tables, split, report, run_name, uri)


def _release(settings: Settings, tables: Staged, split: Staged, report: Staged, run_name: str, uri: str) -> Outcome:
    content, folder = read_json(report.path), report.path.parent
    registry = ModelRegistry(uri, registered_name(settings))
    code = code_state()
    restore = data_version(settings, content["data_version"], tables, split)
    jobs = [model["key"] for model in content["models"]]
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
        NIGHT_KEY: night_key(content["data_version"], jobs, settings.release, code.dirty),
    }
    mlflow_run = log_night(settings, content, folder, run_name, uri, tags)
    version = registry.of_run(mlflow_run)
    if version is None:
        rows = labelled_rows(tables.path, CellSplit.from_json(split.path.read_text()), settings.data.soh_reference)
        decision, scores = judge(settings, content, rows, registry, registry.holder(CHAMPION), code.dirty)
        version = _register(settings, registry, content, decision, tags, mlflow_run, uri)
    else:  # an earlier try of this night came as far as this
        decision, scores = Decision(version.tags["promoted"] == "True", version.tags["reason"]), {}
    if decision.promote:
        registry.crown(version, decision.reason)
    serving = registry.holder(CHAMPION)
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
        ERROR_TAG: challenger["test"][HEADLINE],
        JOB_TAG: challenger["key"],
        "reason": decision.reason,
        "promoted": decision.promote,
    }
    model_uri = _log_challenger(settings, challenger, mlflow_run, uri)
    return registry.add(model_uri, mlflow_run, {**tags, **facts}, decision.reason)


def challenger_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of the chosen model in a report."""
    return next(dict(model) for model in report["models"] if model["run_id"] == report["challenger"])


def judge(
    settings: Settings,
    report: Mapping[str, Any],
    rows: pd.DataFrame,
    registry: ModelRegistry,
    champion: Version | None,
    dirty: bool,
) -> tuple[Decision, dict[str, Any]]:
    """Score challenger, champion and baselines on the test cells that nobody was trained on, then decide.

    Args:
        settings: of the run.
        report: what the stage evaluate wrote.
        rows: labelled rows with the part of the split they are in.
        registry: where the champion's pipeline is.
        champion: the version that serves, or None.
        dirty: whether the code differs from its commit.
    """
    runs = settings.folder("artifacts") / "runs"
    contest = contest_of(
        load_estimator(runs / report["challenger"] / PIPELINE_FOLDER),
        registry.pipeline(champion) if champion else None,
        f"version {champion.number}" if champion else "",
        rows,
        settings.data.soh_reference,
        dirty,
    )
    if gone := registry.withdrawn(challenger_of(report)["key"]):
        again = f"the same model as version {gone.number}, withdrawn {gone.tags[WITHDRAWN_TAG]}"
        contest = replace(contest, objection=f"{again}; take its tag '{WITHDRAWN_TAG}' away in MLflow to allow it")
    return decide(contest, settings.release), asdict(contest)


def log_night(
    settings: Settings, report: Mapping[str, Any], folder: Path, run_name: str, uri: str, tags: Mapping[str, Any]
) -> str:
    """One MLflow run for the night with report and figures, and one below it for each model; returns its id.

    All of it is whole in the local folders first; a model that was not trained again keeps its run and its night.
    """
    if (read_json(folder / RUN_FILE) or {}).get("status") != "FINISHED":  # else an earlier try of this night wrote it
        tracker = LocalTracker(folder.parent, use_tensorboard=False)
        tracker.start_run(run_name, settings, run_id=folder.name)
        tracker.set_tags(tags)
        tracker.log_metrics(_metrics(challenger_of(report)["test"]))
        tracker.end_run()
    night = send_run(folder, uri, settings.tracking.experiment)
    client = mlflow_client(uri)
    for model in report["models"]:
        run = send_run(settings.folder("artifacts") / "runs" / model["run_id"], uri, settings.tracking.experiment)
        client.set_tag(night, f"model.{model['model']}", run)
        if not model["reused"] or "mlflow.parentRunId" not in client.get_run(run).data.tags:
            client.set_tag(run, "mlflow.parentRunId", night)
            for name, value in {**tags, "model": model["model"]}.items():
                client.set_tag(run, name, str(value))
        for name, value in _metrics(model["test"]).items():
            client.log_metric(run, f"test_{name}", value)
    return night


def _log_challenger(settings: Settings, challenger: Mapping[str, Any], mlflow_run: str, uri: str) -> str:
    import mlflow

    folder = settings.folder("artifacts") / "runs" / challenger["run_id"] / PIPELINE_FOLDER
    mlflow.set_tracking_uri(uri)
    with mlflow.start_run(run_id=mlflow_run):
        return log_pipeline(folder)


def _metrics(scores: Mapping[str, Any]) -> dict[str, float]:
    named = {name: scores[name] for name in (HEADLINE, "mean_cell_rmse", "worst_cell_rmse")}
    return {name: float(value) for name, value in named.items() if value is not None}


__all__ = ["OUTCOME_FILE", "REPORT_FILE", "Outcome", "lock_file", "open_registry", "release"]
