"""Content hashes: the md5 that DVC records is the data version; skips and caches use it as key."""

from __future__ import annotations

import hashlib
from pathlib import Path

from battery_core.errors import DataError

_CHUNK = 1 << 20


def content_version(path: Path | str) -> str:
    """Return the md5 that dvc.lock records for a file, or, with the suffix ``.dir``, for a folder.

    Computed by DVC's own code on the files as they are now, without a repository and without its cache. Like DVC it
    covers contents and names, not dates; empty folders do not count.

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
    """Return the sha256 of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
