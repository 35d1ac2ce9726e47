"""Model versions in the MLflow registry, their aliases ``champion`` and ``challenger``, and their promotions."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from battery_core.errors import DataError
from battery_core.release.champion_scoring import ChampionScoringError
from battery_core.release.package.mlflow_model import package_folder
from battery_core.release.wire_format import (
    BY_ROLLBACK,
    BY_RUN,
    CHALLENGER,
    CHAMPION,
    DATA_VERSION_TAG,
    ERROR_TAG,
    JOB_TAG,
    MODEL_TAG,
    PREVIOUS,
    PROMOTION_TAG_PREFIX,
    ROLLED_BACK_TAG,
)

_LONGEST_REASON = 3000  # MLflow keeps 5000 characters of a tag


@dataclass(frozen=True)
class PromotionEvent:
    """One change of champion.

    Args:
        version: the new champion.
        previous: the champion until then, or None.
        trigger: ``BY_RUN`` or ``BY_ROLLBACK``.
        promoted_at: UTC, ISO 8601.
        reason: in words.
        model: name of the model.
        data_version: of its training data.
        error: mean per-cell MAPE on the test cells of its retraining run, %.
    """

    version: int
    previous: int | None
    trigger: str
    promoted_at: str
    reason: str
    model: str = ""
    data_version: str = ""
    error: str = ""

    def to_json(self) -> str:
        """Return the value of the tag; its keys are part of the wire format."""
        return json.dumps({_json_key(name): value for name, value in asdict(self).items()})

    @classmethod
    def from_json(cls, text: str) -> PromotionEvent:
        """Return the event in the value of a tag."""
        content = json.loads(text)
        return cls(**{field.name: content[key] for field in fields(cls) if (key := _json_key(field.name)) in content})


_JSON_KEYS = {"previous": "before", "trigger": "how", "promoted_at": "when"}
"""Fields of a promotion event that have another name in the registry."""


def _json_key(field: str) -> str:
    return _JSON_KEYS.get(field, field)


@dataclass(frozen=True)
class Version:
    """One registered model."""

    name: str
    number: int
    tags: dict[str, str]
    run_id: str

    @property
    def uri(self) -> str:
        """Address of the version in MLflow."""
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
        """Return the version an alias points at, or None."""
        from mlflow.exceptions import MlflowException

        try:
            entry = self._client.get_model_version_by_alias(self.name, alias)
        except MlflowException as err:
            if err.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise
        return _version(entry)

    def add(self, model_uri: str, run_id: str, tags: dict[str, Any], description: str) -> Version:
        """Register a logged model as the next version and point ``challenger`` at it."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self.name)
        except MlflowException as err:
            if err.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        texts = {key: str(value) for key, value in tags.items()}
        entry = self._client.create_model_version(self.name, model_uri, run_id, tags=texts, description=description)
        self._client.set_registered_model_alias(self.name, CHALLENGER, entry.version)
        return Version(self.name, int(entry.version), texts, run_id)

    def version_of_run(self, run_id: str) -> Version | None:
        """Return the version that a retraining run has registered already, or None; a repeated run reuses it."""
        entries = self._client.search_model_versions(f"name='{self.name}' and run_id='{run_id}'")
        return _version(entries[0]) if entries else None

    def version(self, number: int) -> Version:
        """Return a version by its number.

        Raises:
            DataError: there is none.
        """
        versions = {int(entry.version): entry for entry in self._all_versions()}
        if number not in versions:
            numbers = ", ".join(map(str, sorted(versions))) or "none"
            raise DataError(f"model '{self.name}': no version {number}; there are: {numbers} - name one of them")
        return _version(versions[number])

    def promote(self, version: Version, reason: str, trigger: str = BY_RUN) -> None:
        """Point ``champion`` at this version and ``previous`` at the champion before it, and record the event.

        Call it under the lock of the registry. The champion is one alias, moved in one step.
        """
        replaced = self.version_by_alias(CHAMPION)
        if replaced is not None and replaced.number == version.number:
            return
        previous = self.previous_champion(version) if trigger == BY_ROLLBACK else replaced
        if previous is not None:
            self._client.set_registered_model_alias(self.name, PREVIOUS, str(previous.number))
        elif self.version_by_alias(PREVIOUS) is not None:
            self._client.delete_registered_model_alias(self.name, PREVIOUS)
        self._client.set_registered_model_alias(self.name, CHAMPION, str(version.number))
        event = PromotionEvent(
            version=version.number,
            previous=replaced.number if replaced else None,
            trigger=trigger,
            promoted_at=datetime.now(UTC).isoformat(timespec="seconds"),
            reason=reason[:_LONGEST_REASON],
            model=version.tags.get(MODEL_TAG, ""),
            data_version=version.tags.get(DATA_VERSION_TAG, ""),
            error=version.tags.get(ERROR_TAG, ""),
        )
        key = f"{PROMOTION_TAG_PREFIX}{len(self.promotion_events()) + 1:05d}"
        self._client.set_registered_model_tag(self.name, key, event.to_json())

    def promotion_events(self) -> list[PromotionEvent]:
        """Return the changes of champion, the oldest first."""
        from mlflow.exceptions import MlflowException

        try:
            tags = self._client.get_registered_model(self.name).tags
        except MlflowException as err:
            if err.error_code == "RESOURCE_DOES_NOT_EXIST":
                return []
            raise
        return [PromotionEvent.from_json(tags[key]) for key in sorted(tags) if key.startswith(PROMOTION_TAG_PREFIX)]

    def previous_champion(self, version: Version) -> Version | None:
        """Return the champion that this version replaced when it was promoted for the first time, or None."""
        first = next((event for event in self.promotion_events() if event.version == version.number), None)
        return self.version(first.previous) if first is not None and first.previous is not None else None

    def tag(self, version: Version, name: str, value: str) -> None:
        """Set a tag of a version."""
        self._client.set_model_version_tag(self.name, str(version.number), name, value)

    def rolled_back_version(self, job: str) -> Version | None:
        """Return the version of this very training job that was rolled back by hand, or None."""
        for entry in self._all_versions():
            if job and entry.tags.get(JOB_TAG) == job and ROLLED_BACK_TAG in entry.tags:
                return _version(entry)
        return None

    def _all_versions(self) -> list[Any]:
        return list(self._client.search_model_versions(f"name='{self.name}'"))

    def package(self, version: Version) -> Path:
        """Return the folder of a version's package.

        Raises:
            ChampionScoringError: its files are gone.
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


def _version(entry: Any) -> Version:
    return Version(entry.name, int(entry.version), dict(entry.tags), str(entry.run_id))


def mlflow_client(uri: str) -> Any:
    """Return a client of the store that holds runs and models."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri, uri)


def local_database(tracking_uri: str) -> Path | None:
    """Return the file behind a ``sqlite:`` URI; None for a server.

    Example:
        >>> local_database("sqlite:////data/mlflow.db")
        PosixPath('/data/mlflow.db')
    """
    match = re.fullmatch(r"sqlite:///(.+)", tracking_uri)
    return Path(match[1]) if match else None
