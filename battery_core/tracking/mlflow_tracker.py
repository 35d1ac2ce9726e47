"""Transfer of runs from the local folder to MLflow; a failed server only delays the transfer."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from filelock import FileLock

from battery_core.files import read_json, write_json
from battery_core.tracking.base import TrackingError
from battery_core.tracking.local_tracker import METRICS_FILE, RUN_FILE, read_metrics

logger = logging.getLogger(__name__)

SENT_FILE = "mlflow.json"
RUN_TAG = "battery.run_id"
#: What MLflow takes in one call.
_METRICS, _PARAMS, _TAGS, _PARAM_LENGTH, _TAG_LENGTH = 1000, 100, 100, 6000, 5000


def send_run(run_dir: Path | str, tracking_uri: str, experiment: str = "soh-training") -> str:
    """Send the missing records of a local run to MLflow: settings, tags, metrics and, once it has ended, files.

    May be called again at any time: nothing is sent twice, and no second MLflow run is made.

    Args:
        run_dir: folder that ``LocalTracker`` wrote.
        tracking_uri: where to; ``file:`` and plain paths become a SQLite store in that folder.
        experiment: name of the MLflow experiment; it is created where there is none.

    Returns:
        Id of the run in MLflow.

    Raises:
        TrackingError: the folder holds no run, or MLflow does not answer; the local run stays intact.
    """
    folder = Path(run_dir)
    about = read_json(folder / RUN_FILE)
    if about is None:
        raise TrackingError(
            f"run folder '{folder}': expected '{RUN_FILE}' in it, found none - give the folder of a run"
        )
    uri, artifacts = resolve_uri(tracking_uri)
    refused = _in_one_line(
        f"MLflow at '{uri}' did not take run '{about['run_id']}'",
        f"the local run is whole, send it later: python -m battery_core.tracking {folder} --uri {tracking_uri}",
    )
    with FileLock(folder / ".mlflow.lock"), refused:
        return _Sender(folder, about, uri, experiment, artifacts).send()


def resolve_uri(tracking_uri: str) -> tuple[str, str | None]:
    """Return the absolute store of a tracking URI, and its artifact location (None: the server decides).

    Example:
        >>> resolve_uri("sqlite:////data/mlflow.db")
        ('sqlite:////data/mlflow.db', 'file:///data/mlartifacts')
    """
    if tracking_uri.startswith("sqlite:///"):
        file = Path(tracking_uri.removeprefix("sqlite:///")).absolute()
    elif tracking_uri.startswith("file:") or "://" not in tracking_uri:
        rest = tracking_uri.removeprefix("file:")
        folder = Path(unquote(urlparse(tracking_uri).path if rest.startswith("//") else rest))
        file = folder.absolute() / "mlflow.db"
        _warn_once(f"MLflow no longer writes 'file:' stores: '{tracking_uri}' is kept as sqlite:///{file}")
    else:
        return tracking_uri, None
    file = Path(os.path.normpath(file))
    return f"sqlite:///{file}", (file.parent / "mlartifacts").as_uri()


def ensure_store(uri: str) -> None:
    """Ensure that MLflow responds; a missing SQLite store is created.

    Raises:
        TrackingError: the store cannot be opened, or the server does not answer; nothing of the run is lost.
    """
    with _in_one_line(
        f"MLflow at '{uri}' cannot be used",
        "start the server, or mend or move away the database, and run again: what is trained is kept in the artifacts "
        "folder and not trained twice",
    ):
        _open_store(uri)


@contextmanager
def is_store_reachable(uri: str) -> Iterator[None]:
    """Raise any error of the store as one line.

    Raises:
        TrackingError: MLflow or its database failed; errors of files pass unchanged.
    """
    with _in_one_line(
        f"MLflow at '{uri}' did not answer",
        "look at the server or the database and run again: what is trained is kept and not trained twice",
        files_too=False,  # a local file; its own error message is clearer
    ):
        yield


@contextmanager
def _in_one_line(problem: str, action: str, files_too: bool = True) -> Iterator[None]:
    """Raise errors of a store that is down, broken or out of reach as one line."""
    try:
        yield
    except _store_errors(files_too) as err:
        raise TrackingError(f"{problem}: {' '.join(str(err).split())[:300]} - {action}") from err


@cache
def _open_store(uri: str) -> None:
    """Open the store under a lock; concurrent creation of a SQLite store would corrupt it."""
    if not uri.startswith("sqlite:///"):
        _client(uri).search_experiments(max_results=1)
        return
    file = Path(uri.removeprefix("sqlite:///"))
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        fresh = not file.exists()
        _client(uri).search_experiments(max_results=1)
        if fresh:
            with sqlite3.connect(file) as database:
                database.execute("PRAGMA journal_mode=WAL")  # readers no longer wait for the writer


class _Sender:
    """Send one run to one store."""

    def __init__(
        self, folder: Path, metadata: dict[str, Any], uri: str, experiment: str, artifacts: str | None
    ) -> None:
        self.folder, self.metadata, self.uri = folder, metadata, uri
        self.sent: dict[str, Any] = (read_json(folder / SENT_FILE) or {}).get(uri, {})
        _open_store(uri)
        self.client = _client(uri)
        self.experiment = _experiment_id(self.client, experiment, artifacts)

    def send(self) -> str:
        """Send everything that MLflow lacks; return the MLflow run id."""
        self._find_or_create()
        self._labels()
        self._numbers()
        if self.metadata["status"] != "RUNNING":
            for file in _files(self.folder):
                place = file.parent.relative_to(self.folder).parts
                place = place[1:] if place[:1] == ("artifacts",) else place
                self.client.log_artifact(self.sent["run_id"], str(file), "/".join(place) or None)
            self.client.set_terminated(self.sent["run_id"], self.metadata["status"], self.metadata["ended_ms"])
        self._note(status=self.metadata["status"])
        return str(self.sent["run_id"])

    def _find_or_create(self) -> None:
        run_id, started = self.metadata["run_id"], self.metadata["started_ms"]
        if self.sent.get("run_id") and self.sent.get("started_ms") == started:
            return
        # a sender that died before it could note the id has left the run behind
        runs = self.client.search_runs([self.experiment], f"tags.`{RUN_TAG}` = '{run_id}'")
        run = next((run for run in runs if run.info.start_time == started), None)
        if run is None:
            tags = {"mlflow.runName": self.metadata["name"], RUN_TAG: run_id}
            run = self.client.create_run(self.experiment, start_time=started, tags=tags)
        self.sent = {"started_ms": started, "lines": 0}
        self._note(run_id=run.info.run_id)

    def _labels(self) -> None:
        from mlflow.entities import Param, RunTag

        params = [Param(name, str(value)[:_PARAM_LENGTH]) for name, value in self.metadata["params"].items()]
        tags = [RunTag(name, str(value)[:_TAG_LENGTH]) for name, value in self.metadata["tags"].items()]
        for part in _chunks(params, _PARAMS):
            self.client.log_batch(self.sent["run_id"], params=part)
        for part in _chunks(tags, _TAGS):
            self.client.log_batch(self.sent["run_id"], tags=part)

    def _numbers(self) -> None:
        from mlflow.entities import Metric

        lines = list(read_metrics(self.folder, self.sent["lines"])) if (self.folder / METRICS_FILE).is_file() else []
        metrics = [Metric(k, v, e["time_ms"], e["step"]) for e in lines for k, v in e["metrics"].items()]
        for part in _chunks(metrics, _METRICS):
            self.client.log_batch(self.sent["run_id"], metrics=part)
        self._note(lines=self.sent["lines"] + len(lines))

    def _note(self, **entries: Any) -> None:
        """Record what was sent at once, so that a killed process does not send it twice."""
        self.sent |= entries
        write_json(self.folder / SENT_FILE, (read_json(self.folder / SENT_FILE) or {}) | {self.uri: self.sent})


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of a run to send; logs that MLflow has as metrics and the resume state are left out."""
    ours = {RUN_FILE, METRICS_FILE, SENT_FILE, "last.pt"}
    for file in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.is_file() and file.name not in ours and not hidden and ".tfevents." not in file.name:
            yield file


def _experiment_id(client: Any, name: str, artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    try:
        return str(client.create_experiment(name, artifact_location=artifacts and f"{artifacts}/{name}"))
    except MlflowException:
        experiment = client.get_experiment_by_name(name)  # another process was quicker
        if experiment is None:
            raise
        return str(experiment.experiment_id)


def _client(uri: str) -> Any:
    _quiet()
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri)


def _store_errors(files_too: bool) -> tuple[type[Exception], ...]:
    _quiet()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, SQLAlchemyError, *([OSError] if files_too else []))


def _quiet() -> None:
    """Configure MLflow before its import: no telemetry, and a timeout of a minute for an unreachable server."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)


@cache
def _warn_once(text: str) -> None:
    logger.warning(text)


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
