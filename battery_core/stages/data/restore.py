"""Restore the training data of a registered model version."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from battery_core.data.versioning.content import content_version
from battery_core.data.versioning.store import VersionStore
from battery_core.errors import DataError
from battery_core.release.model_registry import ModelRegistry, Version
from battery_core.settings import Settings, project_root
from battery_core.stages.data.reproduce import command
from battery_core.stages.data.snapshot import COMMAND, SHORT, DataVersion, known_versions, remote_of
from battery_core.stages.registry import open_registry, registered_name


@dataclass(frozen=True)
class Place:
    """Paths of the contents of a data version: below the folders of the project, or below another folder."""

    raw: Path
    tables: Path
    split: Path
    options: tuple[str, ...] = ()


def restore(settings: Settings, which: str, to: Path | None = None, log: Callable[[str], None] = print) -> list[str]:
    """Restore raw files, tables and split of a model version from the version store, or else from the remote.

    Args:
        settings: registry, folders and remote.
        which: number or alias of a version, or ``name/number``.
        to: restore below this folder instead; the folders of the project stay as they are.
        log: called with a line for each repeated copy.

    Returns:
        A line for each restored path, and the command that reproduces the training.

    Raises:
        DataError: the version does not exist, its data are not stored, or unsaved edits would be lost.
    """
    version = find(settings, which)
    wanted = data_of(version)
    settings = _for_source(settings, wanted.source)
    place = _place(settings, wanted, to)
    store = VersionStore(project_root())
    _refuse_to_lose(settings, store, wanted, place)
    _pull_missing(settings, store, wanted, log)
    lines = [f"checkout: {version.name} version {version.number}, data version {wanted.raw}"]
    for name, path in (("raw", place.raw), ("tables", place.tables), ("split", place.split)):
        if content := getattr(wanted, name):
            is_current = path.exists() and content_version(path) == content
            files = 0 if is_current else store.restore(content, path)
            lines.append(
                f"  {path}: " + ("stands already" if is_current else f"{files} file{'s'[: files != 1]} restored")
            )
    if not wanted.tables:
        lines.append("  this version is older than the version store: normalize makes its tables anew")
    return [*lines, "train on it again with:", f"  {command(version, wanted.source, place.options)}"]


def find(settings: Settings, which: str) -> Version:
    """Return a registered version by number, alias, or ``name/number``.

    Raises:
        DataError: there is no such version.
    """
    name, _, alias = which.rpartition("/")
    registry = ModelRegistry(open_registry(settings), name or registered_name(settings))
    if alias.isdigit():
        return registry.version(int(alias))
    version = registry.version_by_alias(alias)
    if version is None:
        raise DataError(
            f"model '{registry.name}': no version has the alias '{alias}' - give a number, champion, challenger or "
            "previous, or NAME/NUMBER for another model"
        )
    return version


def data_of(version: Version) -> DataVersion:
    """Return the version of the training data from the tags of a model version.

    Raises:
        DataError: a tag is missing.
    """
    tags = version.tags
    if not tags.get("data_version") or not tags.get("source"):
        raise DataError(f"model '{version.name}' version {version.number}: it does not name its data version")
    tables, split = tags.get("tables_md5", ""), tags.get("split_md5", "")
    return DataVersion(tags["source"], tags["data_version"], tables, split, tags.get("split_file", ""))


def _for_source(settings: Settings, source: str) -> Settings:
    return settings.model_copy(update={"data": settings.data.model_copy(update={"source": source})})


def _place(settings: Settings, wanted: DataVersion, to: Path | None) -> Place:
    data, splits = settings.folder("data"), settings.folder("splits")
    options: tuple[str, ...] = ()
    if to is not None:
        data, splits = to.resolve(), to.resolve() / "splits"
        options = ("--paths.data", quote(str(data)), "--paths.splits", quote(str(splits)))
    split = splits / (wanted.split_file or f"{wanted.source}.json")
    return Place(data / "raw" / wanted.source, data / "normalized" / wanted.source, split, options)


def _refuse_to_lose(settings: Settings, store: VersionStore, wanted: DataVersion, place: Place) -> None:
    """Refuse to overwrite raw files or a split that neither the version store nor git has.

    Raises:
        DataError: the content on disk is not stored.
    """
    if place.raw.is_dir() and (now := content_version(place.raw)) != wanted.raw and store.missing(now):
        recorded = [entry["raw"] for entry in known_versions(settings)]
        edited = [name for one in recorded[-1:] for name in store.differences(one, place.raw)]
        shown = ", ".join(edited[:5]) + (f" and {len(edited) - 5} more" if len(edited) > 5 else "")
        loss = f"{shown} would be lost" if edited else f"data version {now[:SHORT]} is kept nowhere and would be lost"
        raise DataError(
            f"checkout: '{place.raw}' has edits that are kept nowhere: {loss} - keep them first with: {COMMAND} "
            f"--data.source {wanted.source}, or restore elsewhere with --to FOLDER"
        )
    split = place.split
    differs = bool(wanted.split) and split.is_file() and content_version(split) != wanted.split
    if differs and store.missing(content_version(split)) and not _committed(split):
        raise DataError(
            f"checkout: the split '{split}' is kept nowhere and would be lost - commit it, or restore elsewhere "
            "with --to FOLDER"
        )


def _committed(file: Path) -> bool:
    """Return whether git has the file with its present content."""
    for arguments in (["ls-files", "--error-unmatch"], ["diff", "--quiet", "HEAD"]):
        try:
            done = subprocess.run(["git", "-C", str(file.parent), *arguments, "--", file.name], capture_output=True)
        except FileNotFoundError:
            return False
        if done.returncode:
            return False
    return True


def _pull_missing(settings: Settings, store: VersionStore, wanted: DataVersion, log: Callable[[str], None]) -> None:
    """Pull missing or damaged contents from the remote into the version store.

    Raises:
        DataError: neither the store nor the remote has a content.
    """
    missing = [content for content in wanted.contents if store.drop_damaged(content)]
    if missing and settings.data.remote:
        remote_of(settings).pull(missing, log)
        missing = [content for content in missing if store.drop_damaged(content)]
    if missing:
        where = f"nor at '{remote_of(settings).label}'" if settings.data.remote else "and no data.remote is set"
        raise DataError(
            f"checkout: data version {', '.join(missing)} is not whole in the version store {where} - give the remote "
            "that has it with --data.remote"
        )
