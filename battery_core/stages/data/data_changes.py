"""Find the data changes since the champion, and whether they are a reason to retrain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from battery_core.artifacts import StageResult
from battery_core.data.ingest.changes import changes_between, describe_changes
from battery_core.data.versioning.store import VersionStore
from battery_core.jobs import JobSpec
from battery_core.release.model_registry import ModelRegistry, Version
from battery_core.release.provenance import code_state
from battery_core.release.retrain_key import retrain_key
from battery_core.release.wire_format import CHALLENGER, CHAMPION, RETRAIN_KEY_TAG
from battery_core.settings import Settings, project_root
from battery_core.stages.common import read_table
from battery_core.stages.data.snapshot import SHORT
from battery_core.stages.registry import open_registry, registered_name


@dataclass(frozen=True)
class DataChanges:
    """Changes of the data since a model version.

    Args:
        message: the changes in one sentence.
        no_new_data: data, split, settings and code equal those of a registered version.
        since: the registered version of the comparison, or "".
        changes: added, removed, extended and corrected cells; None if the earlier tables are not stored.
    """

    message: str
    no_new_data: bool = False
    since: str = ""
    changes: dict[str, Any] | None = field(default=None)

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON for the report."""
        return asdict(self)


def find_data_changes(
    settings: Settings, raw: StageResult, tables: StageResult, specs: Sequence[JobSpec]
) -> DataChanges:
    """Compare the inputs of a training run with those of the champion and of the last challenger."""
    registry = ModelRegistry(open_registry(settings), registered_name(settings))
    champion, last = registry.version_by_alias(CHAMPION), registry.version_by_alias(CHALLENGER)
    key = retrain_key(
        raw.version, [spec.key for spec in specs], settings.release, settings.ensemble, code_state().is_dirty
    )
    for version in (champion, last):
        if version is not None and version.tags.get(RETRAIN_KEY_TAG) == key:
            return DataChanges(
                f"nothing new since {_named(version)}: data, split, settings and code are the same",
                no_new_data=True,
                since=version.uri,
                changes=_changes(version, tables),
            )
    reference = champion or last
    if reference is None:
        return DataChanges("the first model of this source: every cell is new", changes=_first(tables))
    changes = _changes(reference, tables)
    return DataChanges(f"since {_named(reference)}: {_describe_change(changes)}", since=reference.uri, changes=changes)


def _named(version: Version) -> str:
    tags = version.tags
    origin = f"run {tags.get('flow_run', '?')}, data version {tags.get('data_version', '?')[:SHORT]}"
    return f"{version.name} version {version.number} ({origin}, code {tags.get('git_commit', '?')[:10]})"


def _describe_change(changes: dict[str, Any] | None) -> str:
    if changes is None:
        return "the changes of the data are unknown, its tables are not in the version store"
    return describe_changes(changes) or "the check-ups are the same"


def _changes(version: Version, tables: StageResult) -> dict[str, Any] | None:
    """Return the changes since the tables of a version; None if the store does not have them."""
    content = version.tags.get("tables_md5", "")
    file = VersionStore(project_root()).file(content, "checkups.parquet") if content else None
    if file is None:
        return None
    before = pd.read_parquet(file)
    return changes_between(before, read_table(tables.path, "checkups"), version.tags.get("data_version", ""))


def _first(tables: StageResult) -> dict[str, Any]:
    return changes_between(None, read_table(tables.path, "checkups"))
