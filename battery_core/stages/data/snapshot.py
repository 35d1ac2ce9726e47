"""Store the data of a run in the version store and, if one is set, at the remote."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from battery_core.artifacts import StageResult
from battery_core.data.versioning.content import content_version
from battery_core.data.versioning.remote import Remote, RemoteError
from battery_core.data.versioning.store import VersionStore
from battery_core.files import read_json, write_json
from battery_core.settings import Settings, project_root

_LOG = logging.getLogger(__name__)
SHORT = 12


@dataclass(frozen=True)
class DataVersion:
    """Versions of all training data of a model, each a hash of the content.

    Args:
        source: source of the cells.
        raw: version of the raw folder: the data version of every run and report.
        tables: version of the folder of normalized tables.
        split: version of the split file.
        split_file: its name.
    """

    source: str
    raw: str
    tables: str
    split: str
    split_file: str

    @property
    def contents(self) -> tuple[str, ...]:
        """Return the contents that the version store must have."""
        return tuple(content for content in (self.raw, self.tables, self.split) if content)


@dataclass(frozen=True)
class SnapshotResult:
    """Result of a snapshot: a message, and the problem of a remote that did not accept the data."""

    message: str
    problem: str = ""


def data_version(settings: Settings, raw_version: str, tables: StageResult, split: StageResult) -> DataVersion:
    """Return the version of the data of a run."""
    contents = content_version(tables.path), content_version(split.path)
    return DataVersion(settings.data.source, raw_version, *contents, split.path.name)


def snapshot(
    settings: Settings,
    raw: StageResult,
    tables: StageResult,
    split: StageResult,
    log: Callable[[str], None] = _LOG.info,
) -> SnapshotResult:
    """Save raw files, tables and split in the version store, and send unsent versions to the remote.

    A failing remote does not fail the run: the result names the problem, and the next run sends the data again.

    Raises:
        DataError: the store could not save the data.
    """
    store = VersionStore(project_root())
    version = data_version(settings, raw.version, tables, split)
    is_stored = not any(store.missing(content) for content in version.contents)
    for path, content in ((raw.path, version.raw), (tables.path, version.tables), (split.path, version.split)):
        store.save(path, content)
    _write_down(settings, version)
    state = "stands in the version store" if is_stored else "kept in the version store"
    message = f"keep: data version {version.raw[:SHORT]} {state}"
    if not settings.data.remote:
        return SnapshotResult(message)
    try:
        sent = send(settings, store, log)
    except RemoteError as err:
        waiting = len(unsent(settings))
        return SnapshotResult(
            message, f"{err} - {waiting} data version(s) wait here and go with the next run, or with: {COMMAND}"
        )
    return SnapshotResult(
        f"{message}; {sent} sent to '{remote_of(settings).label}'" if sent else f"{message} and at the remote"
    )


COMMAND = "python -m battery_core snapshot"


def send(settings: Settings, store: VersionStore, log: Callable[[str], None]) -> int:
    """Send every version that the remote does not have yet, and return their number.

    Raises:
        RemoteError: the remote did not accept them.
    """
    waiting = [
        version for version in unsent(settings) if not any(store.missing(content) for content in version.contents)
    ]
    if not waiting:
        return 0
    remote = remote_of(settings)
    remote.push(list(dict.fromkeys(content for version in waiting for content in version.contents)), log)
    for version in waiting:
        _write_down(settings, version, remote.label)
    return len(waiting)


def unsent(settings: Settings) -> list[DataVersion]:
    """Return the recorded versions that the remote of the settings does not have yet."""
    entries, place = known_versions(settings), remote_of(settings).label
    return [_version(entry) for entry in entries if place not in entry["sent_to"]]


def remote_of(settings: Settings) -> Remote:
    """Return the remote that the settings name."""
    return Remote.of(project_root(), settings.data)


def known_versions(settings: Settings) -> list[dict[str, Any]]:
    """Return every recorded version, oldest first: its contents, its time, and the remotes that have it."""
    return list(read_json(_record(settings)) or [])


def _record(settings: Settings) -> Path:
    return settings.folder("data") / "versions" / f"{settings.data.source}.json"


def _version(entry: dict[str, Any]) -> DataVersion:
    return DataVersion(**{name: entry[name] for name in DataVersion.__dataclass_fields__})


def _write_down(settings: Settings, version: DataVersion, remote: str = "") -> None:
    """Record a version, and the remote that has it; a lock guards against a second run."""
    file = _record(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        entries = known_versions(settings)
        recorded = next((entry for entry in entries if _version(entry) == version), None)
        if recorded is None:
            recorded = asdict(version) | {"kept_at": time.strftime("%Y-%m-%d %H:%M:%S"), "sent_to": []}
            entries.append(recorded)
        elif not remote:
            return
        if remote and remote not in recorded["sent_to"]:
            recorded["sent_to"].append(remote)
        write_json(file, entries)
