"""checkout: exactly the data a registered model was trained on, back in their place, and how to train on them again."""

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
    """Where the parts of a data version belong: below the project's own folders, or below one that is given."""

    raw: Path
    tables: Path
    split: Path
    options: tuple[str, ...] = ()


def restore(settings: Settings, which: str, to: Path | None = None, log: Callable[[str], None] = print) -> list[str]:
    """Restore raw files, tables and split of a model version, from the version store or else from the remote.

    Args:
        settings: which registry, which folders, which remote.
        which: number or alias of a version, or ``name/number``.
        to: restore below this folder instead; nothing of the project is touched.
        log: told about copies that are tried again.

    Returns:
        What was restored, line by line, and the command that trains on it again.

    Raises:
        DataError: no such version, its data are nowhere, or edits that are kept nowhere would be lost.
    """
    version = find(settings, which)
    wanted = data_of(version)
    settings = _for_source(settings, wanted.source)
    place = _place(settings, wanted, to)
    store = VersionStore(project_root())
    _refuse_to_lose(settings, store, wanted, place)
    _bring(settings, store, wanted, log)
    lines = [f"checkout: {version.name} version {version.number}, data version {wanted.raw}"]
    for name, path in (("raw", place.raw), ("tables", place.tables), ("split", place.split)):
        if part := getattr(wanted, name):
            stood = path.exists() and content_version(path) == part
            files = 0 if stood else store.restore(part, path)
            lines.append(f"  {path}: " + ("stands already" if stood else f"{files} file{'s'[: files != 1]} restored"))
    if not wanted.tables:
        lines.append("  this version is older than the version store: normalize makes its tables anew")
    return [*lines, "train on it again with:", f"  {command(version, wanted.source, place.options)}"]


def find(settings: Settings, which: str) -> Version:
    """A registered version by number, alias, or ``name/number``.

    Raises:
        DataError: there is none.
    """
    name, _, asked = which.rpartition("/")
    registry = ModelRegistry(open_registry(settings), name or registered_name(settings))
    if asked.isdigit():
        return registry.version(int(asked))
    version = registry.version_by_alias(asked)
    if version is None:
        raise DataError(
            f"model '{registry.name}': no version has the alias '{asked}' - give a number, champion, challenger or "
            "previous, or NAME/NUMBER for another model"
        )
    return version


def data_of(version: Version) -> DataVersion:
    """The data a version was trained on, as its tags say.

    Raises:
        DataError: it does not say.
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
    """What is kept nowhere stays where it is: raw files edited by hand, a split that is not under version control."""
    if place.raw.is_dir() and (now := content_version(place.raw)) != wanted.raw and store.missing(now):
        known = [entry["raw"] for entry in known_versions(settings)]
        edited = [name for one in known[-1:] for name in store.differences(one, place.raw)]
        shown = ", ".join(edited[:5]) + (f" and {len(edited) - 5} more" if len(edited) > 5 else "")
        what = f"{shown} would be lost" if edited else f"data version {now[:SHORT]} is kept nowhere and would be lost"
        raise DataError(
            f"checkout: '{place.raw}' has edits that are kept nowhere: {what} - keep them first with: {COMMAND} "
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
    """Whether version control has the file exactly as it is."""
    for asked in (["ls-files", "--error-unmatch"], ["diff", "--quiet", "HEAD"]):
        try:
            done = subprocess.run(["git", "-C", str(file.parent), *asked, "--", file.name], capture_output=True)
        except FileNotFoundError:
            return False
        if done.returncode:
            return False
    return True


def _bring(settings: Settings, store: VersionStore, wanted: DataVersion, log: Callable[[str], None]) -> None:
    """Everything into the store; what is not there, or damaged, comes from the remote.

    Raises:
        DataError: neither has it.
    """
    gone = [part for part in wanted.contents if store.drop_damaged(part)]
    if gone and settings.data.remote:
        remote_of(settings).pull(gone, log)
        gone = [part for part in gone if store.drop_damaged(part)]
    if gone:
        where = f"nor at '{remote_of(settings).label}'" if settings.data.remote else "and no data.remote is set"
        raise DataError(
            f"checkout: data version {', '.join(gone)} is not whole in the version store {where} - give the remote "
            "that has it with --data.remote"
        )
