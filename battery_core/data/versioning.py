"""Versions from content: the md5 that DVC records is the data version; skips and caches are keyed on it."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from functools import cache
from pathlib import Path

from battery_core.errors import DataError

_CHUNK = 1 << 20
_HOUSE = "battery_core"


def content_version(path: Path | str) -> str:
    """Exactly the md5 that dvc.lock records for a file, or, ending in ``.dir``, for a folder.

    Computed by DVC's own code on the files as they are now, without a repository and without its cache. Like DVC it
    knows contents and names, not dates; empty folders do not count.

    Raises:
        DataError: there is no such file or folder.
    """
    path = Path(path).resolve()
    if not path.exists():
        raise DataError(f"data version: {path} is not there - run the stage that writes it first")
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs.local import LocalFileSystem
    from dvc_objects.fs.memory import MemoryFileSystem

    nothing_is_stored = HashFileDB(MemoryFileSystem(global_store=False), "/version")  # type: ignore[no-untyped-call]
    files = LocalFileSystem()  # type: ignore[no-untyped-call]
    _, _, result = build(nothing_is_stored, str(path), files, "md5", dry_run=True)
    return str(result.hash_info.value)


def file_sha256(path: Path | str) -> str:
    """Sha256 of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def code_version(*packages: str) -> str:
    """One hash of the Python sources of rooms of the house, for instance ``code_version("data", "features.scaling")``.

    A result is stale when the code that made it has changed; file dates and caches play no part.

    Raises:
        DataError: there is no such room.

    Example:
        >>> code_version("units") == code_version("battery_core.units")
        True
    """
    digest = hashlib.sha256()
    for package in packages:
        for name, path in _sources(package):
            about = os.stat(path)
            sha256 = _known_sha256(path, about.st_size, about.st_mtime_ns, about.st_ino)
            digest.update(f"{name} {sha256}\n".encode())
    return digest.hexdigest()


@cache
def _known_sha256(path: str, *about: int) -> str:
    """Sources are many and hardly ever change while a process lives: each is read again when its date or size does."""
    return file_sha256(path)


def _sources(package: str) -> list[tuple[str, str]]:
    """Module files of a room below its folder, in name order, without importing it."""
    package = package if package.split(".")[0] == _HOUSE else f"{_HOUSE}.{package}"
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise DataError(f"code version: no room '{package}' - give a dotted name such as data or features.scaling")
    if not spec.submodule_search_locations:
        return [(package, spec.origin)]
    folder = os.path.dirname(spec.origin)
    found = [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names if name.endswith(".py")]
    parts = sorted(os.path.relpath(path, folder).split(os.sep) for path in found)
    return [(f"{package}/{'/'.join(names)}", os.path.join(folder, *names)) for names in parts]
