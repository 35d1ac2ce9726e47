"""The model registry in MLflow: versions, the aliases ``challenger`` and ``champion``, and why they moved."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from battery_core.errors import DataError
from battery_core.release.packaging import load_pipeline

CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous"


@dataclass(frozen=True)
class Version:
    """One registered model."""

    name: str
    number: int
    tags: dict[str, str]
    run_id: str

    @property
    def uri(self) -> str:
        """How MLflow finds it."""
        return f"models:/{self.name}/{self.number}"


class ModelRegistry:
    """The versions of one registered model.

    Args:
        tracking_uri: MLflow's tracking and registry URI.
        name: the registered model.
    """

    def __init__(self, tracking_uri: str, name: str) -> None:
        import mlflow

        mlflow.set_tracking_uri(tracking_uri)
        mlflow.set_registry_uri(tracking_uri)
        self.name = name
        self._client = mlflow_client(tracking_uri)

    def holder(self, alias: str) -> Version | None:
        """The version an alias points at, or None."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_model_version_by_alias(self.name, alias)
        except MlflowException as err:
            if err.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise
        return Version(self.name, int(found.version), dict(found.tags), str(found.run_id))

    def add(self, model_uri: str, run_id: str, tags: dict[str, Any], description: str) -> Version:
        """Register a logged model as the next version and point ``challenger`` at it."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self.name)
        except MlflowException as err:
            if err.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        texts = {key: str(value) for key, value in tags.items()}
        made = self._client.create_model_version(self.name, model_uri, run_id, tags=texts, description=description)
        self._client.set_registered_model_alias(self.name, CHALLENGER, made.version)
        return Version(self.name, int(made.version), texts, run_id)

    def crown(self, version: Version) -> None:
        """Point ``champion`` at this version, ``previous`` at the one that served until now."""
        until_now = self.holder(CHAMPION)
        if until_now is not None:
            self._client.set_registered_model_alias(self.name, PREVIOUS, str(until_now.number))
        self._client.set_registered_model_alias(self.name, CHAMPION, str(version.number))

    def pipeline(self, version: Version) -> Any:
        """The fitted pipeline of a version.

        Raises:
            DataError: its files are not there any more.
        """
        from mlflow.exceptions import MlflowException

        try:
            return load_pipeline(version.uri)
        except (MlflowException, FileNotFoundError) as err:
            if isinstance(err, MlflowException) and not str(err).startswith("No such artifact"):
                raise  # a server that does not answer may answer later
            raise DataError(
                f"model '{self.name}' version {version.number}: its files are gone from the artifact store - restore "
                "them, or give its alias to another version or take the alias away"
            ) from err


def mlflow_client(uri: str) -> Any:
    """A client of the store that holds runs and models."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri, uri)


def local_database(tracking_uri: str) -> Path | None:
    """The file behind a ``sqlite:`` URI; None for a server.

    Example:
        >>> local_database("sqlite:////data/mlflow.db")
        PosixPath('/data/mlflow.db')
    """
    match = re.fullmatch(r"sqlite:///(.+)", tracking_uri)
    return Path(match[1]) if match else None
