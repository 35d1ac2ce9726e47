"""The model registry in MLflow: versions, the aliases ``challenger`` and ``champion``, and why they moved."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from battery_core.errors import DataError
from battery_core.release.champion_scoring import ChampionScoringError
from battery_core.release.package.mlflow_model import package_folder

CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous"
ROLLBACK = "rollback"
ERROR_TAG = "test_mean_cell_mape"
JOB_TAG = "job"
ROLLED_BACK_TAG = "withdrawn"
_PROMOTION_EVENT = "champion."
_LONGEST_REASON = 3000  # MLflow keeps 5000 characters of a tag


@dataclass(frozen=True)
class PromotionEvent:
    """One change of champion.

    Args:
        version: who came into service.
        before: who served until then, or None.
        how: ``night`` or ``rollback``.
        when: UTC, ISO 8601.
        reason: in words.
        model: name of the model.
        data_version: of its training data.
        error: mean per-cell MAPE on the test cells of its own night, %.
    """

    version: int
    before: int | None
    how: str
    when: str
    reason: str
    model: str = ""
    data_version: str = ""
    error: str = ""


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

    def version_by_alias(self, alias: str) -> Version | None:
        """The version an alias points at, or None."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_model_version_by_alias(self.name, alias)
        except MlflowException as err:
            if err.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise
        return self._version(found)

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

    def of_run(self, run_id: str) -> Version | None:
        """The version that a night's MLflow run has made already, or None: however often it tries, it makes one."""
        found = self._client.search_model_versions(f"name='{self.name}' and run_id='{run_id}'")
        return self._version(found[0]) if found else None

    def version(self, number: int) -> Version:
        """A version by its number.

        Raises:
            DataError: there is none.
        """
        versions = {int(v.version): v for v in self._client.search_model_versions(f"name='{self.name}'")}
        if number not in versions:
            known = ", ".join(map(str, sorted(versions))) or "none"
            raise DataError(f"model '{self.name}': no version {number}; there are: {known} - name one of them")
        return self._version(versions[number])

    def promote(self, version: Version, reason: str, how: str = "night") -> None:
        """Point ``champion`` at this version, ``previous`` at the one that served before it, and write it down.

        Called under the lock of the registry; whoever serves at any moment is one alias, moved in one step.
        """
        before = self.version_by_alias(CHAMPION)
        if before is not None and before.number == version.number:
            return
        earlier = self.before(version) if how == ROLLBACK else before
        if earlier is not None:
            self._client.set_registered_model_alias(self.name, PREVIOUS, str(earlier.number))
        elif self.version_by_alias(PREVIOUS) is not None:
            self._client.delete_registered_model_alias(self.name, PREVIOUS)
        self._client.set_registered_model_alias(self.name, CHAMPION, str(version.number))
        promotion_events = self.promotion_events()
        entry = PromotionEvent(
            version.number, before.number if before else None, how, _now(), reason[:_LONGEST_REASON],
            version.tags.get("model", ""), version.tags.get("data_version", ""), version.tags.get(ERROR_TAG, ""),
        )  # fmt: skip
        key = f"{_PROMOTION_EVENT}{len(promotion_events) + 1:05d}"
        self._client.set_registered_model_tag(self.name, key, json.dumps(asdict(entry)))

    def promotion_events(self) -> list[PromotionEvent]:
        """Who has served, the oldest first."""
        from mlflow.exceptions import MlflowException

        try:
            tags = self._client.get_registered_model(self.name).tags
        except MlflowException as err:
            if err.error_code == "RESOURCE_DOES_NOT_EXIST":
                return []
            raise
        return [PromotionEvent(**json.loads(tags[key])) for key in sorted(tags) if key.startswith(_PROMOTION_EVENT)]

    def before(self, version: Version) -> Version | None:
        """Who served before this version came into service for the first time."""
        first = next((reign for reign in self.promotion_events() if reign.version == version.number), None)
        return self.version(first.before) if first is not None and first.before is not None else None

    def tag(self, version: Version, name: str, value: str) -> None:
        """Write a word to a version."""
        self._client.set_model_version_tag(self.name, str(version.number), name, value)

    def rolled_back_version(self, job: str) -> Version | None:
        """The version that was made by this very training job and taken out of service by hand, or None."""
        for found in self._client.search_model_versions(f"name='{self.name}'"):
            if job and found.tags.get(JOB_TAG) == job and ROLLED_BACK_TAG in found.tags:
                return self._version(found)
        return None

    def _version(self, found: Any) -> Version:
        return Version(self.name, int(found.version), dict(found.tags), str(found.run_id))

    def package(self, version: Version) -> Path:
        """The folder of a version's package.

        Raises:
            NotServedError: its files are not there any more.
        """
        from mlflow.exceptions import MlflowException

        try:
            return package_folder(version.uri)
        except (MlflowException, FileNotFoundError) as err:
            if isinstance(err, MlflowException) and not str(err).startswith("No such artifact"):
                raise  # a server that does not answer may answer later
            raise ChampionScoringError(
                f"model '{self.name}' version {version.number}: its files are gone from the artifact store - restore "
                "them, or give its alias to another version or take the alias away"
            ) from err


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


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
