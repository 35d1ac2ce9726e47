"""Where the model registry of a run is: its tracking URI, its model name and its lock."""

from __future__ import annotations

from pathlib import Path

from battery_core.release.model_registry import local_database
from battery_core.settings import Settings
from battery_core.tracking.mlflow_tracker import ensure_store, resolve_uri


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
