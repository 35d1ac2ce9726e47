"""Locate the model registry of a run: tracking URI, model name and lock."""

from __future__ import annotations

from pathlib import Path

from battery_core.release.model_registry import local_database
from battery_core.settings import Settings
from battery_core.tracking.mlflow_tracker import ensure_store, resolve_uri


def tracking_uri(settings: Settings) -> str:
    """Return the URI of the MLflow store; it is absolute, so that the current directory does not matter."""
    uri = settings.tracking.mlflow_uri or f"sqlite:///{settings.folder('artifacts').resolve() / 'mlflow.db'}"
    return resolve_uri(uri)[0]


def registered_name(settings: Settings) -> str:
    """Return the name of the registered model of the source."""
    return settings.release.registered_model or f"soh-{settings.data.source}"


def lock_file(settings: Settings) -> Path:
    """Return the lock of all runs on one registry: beside its database, else in the artifacts folder."""
    database = local_database(tracking_uri(settings))
    return (database.parent if database else settings.folder("artifacts")) / "train.lock"


def open_registry(settings: Settings) -> str:
    """Create the MLflow store if it does not exist, and return its URI."""
    uri = tracking_uri(settings)
    ensure_store(uri)
    return uri
