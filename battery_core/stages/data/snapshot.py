"""keep: the data of a run go into the version store, and to the remote where one is set, to be restored."""

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
    """Everything a model was trained on, each part by its content.

    Args:
        source: where the cells come from.
        raw: version of the raw folder: the data version on every run and report.
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
        """The versions that have to be there."""
        return tuple(part for part in (self.raw, self.tables, self.split) if part)


@dataclass(frozen=True)
class SnapshotResult:
    """What became of the data of a run: where they are kept, and what the remote did not take."""

    message: str
    problem: str = ""


def data_version(settings: Settings, raw_version: str, tables: StageResult, split: StageResult) -> DataVersion:
    """The data of a run, by content."""
    parts = content_version(tables.path), content_version(split.path)
    return DataVersion(settings.data.source, raw_version, *parts, split.path.name)


def snapshot(
    settings: Settings,
    raw: StageResult,
    tables: StageResult,
    split: StageResult,
    log: Callable[[str], None] = _LOG.info,
) -> SnapshotResult:
    """Keep raw files, tables and split in the version store; send to the remote what it does not have yet.

    A remote that fails costs the run nothing: what it did not take is said, and goes with the next run.

    Raises:
        DataError: the store itself could not take the data.
    """
    store = VersionStore(project_root())
    version = data_version(settings, raw.version, tables, split)
    stood = not any(store.missing(part) for part in version.contents)
    for path, part in ((raw.path, version.raw), (tables.path, version.tables), (split.path, version.split)):
        store.save(path, part)
    _write_down(settings, version)
    did = "stands in the version store" if stood else "kept in the version store"
    message = f"keep: data version {version.raw[:SHORT]} {did}"
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
    """Send every version the remote does not have yet; returns how many.

    Raises:
        RemoteError: it did not take them.
    """
    waiting = [version for version in unsent(settings) if not any(store.missing(part) for part in version.contents)]
    if not waiting:
        return 0
    remote = remote_of(settings)
    remote.push(list(dict.fromkeys(part for version in waiting for part in version.contents)), log)
    for version in waiting:
        _write_down(settings, version, remote.label)
    return len(waiting)


def unsent(settings: Settings) -> list[DataVersion]:
    """Versions kept here that the remote of the settings has not taken yet."""
    entries, place = known_versions(settings), remote_of(settings).label
    return [_version(entry) for entry in entries if place not in entry["sent_to"]]


def remote_of(settings: Settings) -> Remote:
    """The second place that the settings name."""
    return Remote.of(project_root(), settings.data)


def known_versions(settings: Settings) -> list[dict[str, Any]]:
    """Every version kept here, oldest first: its parts, since when, and the remotes that have it."""
    return list(read_json(_record(settings)) or [])


def _record(settings: Settings) -> Path:
    return settings.folder("data") / "versions" / f"{settings.data.source}.json"


def _version(entry: dict[str, Any]) -> DataVersion:
    return DataVersion(**{name: entry[name] for name in DataVersion.__dataclass_fields__})


def _write_down(settings: Settings, version: DataVersion, remote: str = "") -> None:
    """One line a version; a second run may write at the same time."""
    file = _record(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        entries = known_versions(settings)
        found = next((entry for entry in entries if _version(entry) == version), None)
        if found is None:
            found = asdict(version) | {"kept_at": time.strftime("%Y-%m-%d %H:%M:%S"), "sent_to": []}
            entries.append(found)
        elif not remote:
            return
        if remote and remote not in found["sent_to"]:
            found["sent_to"].append(remote)
        write_json(file, entries)
