"""Data versions that can be restored: folders and files stored by content hash in the cache of DVC."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from battery_core.data.versioning.content import content_version
from battery_core.errors import DataError
from battery_core.files import whole_folder, write_text

DVC_FOLDER = ".dvc"
_CHUNK = 1 << 20


class VersionStore:
    """Access the cache of DVC for a project folder, with the location and link types of ``.dvc/config``.

    A version is the md5 that DVC computes for a file, or, with the suffix ``.dir``, for a folder (``content_version``).

    Args:
        root: the project folder; a missing ``.dvc`` folder is created, with or without version control.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def cache(self) -> Any:
        """Return DVC's object store."""
        return open_repo(self.root).cache.local

    def save(self, path: Path, version: str = "") -> str:
        """Store the current content of a file or folder; existing objects are not copied again.

        Args:
            path: the file or folder to store.
            version: its content version, if already computed.

        Returns:
            The content version.
        """
        version = version or content_version(path)
        if not self.missing(version):
            return version
        from dvc_data.hashfile.build import build
        from dvc_data.hashfile.transfer import transfer
        from dvc_objects.fs.local import LocalFileSystem

        files = LocalFileSystem()  # type: ignore[no-untyped-call]
        staged, _, content = build(self.cache, str(path.resolve()), files, "md5")
        saved = str(content.hash_info.value)
        transfer(staged, self.cache, {content.hash_info}, shallow=False)
        if gone := self.missing(saved):
            raise DataError(
                f"data version {saved}: {len(gone)} of its files did not reach '{self.cache.path}' - is the disk full?"
            )
        return saved

    def missing(self, version: str) -> list[str]:
        """Return the md5s of objects that the cache lacks; empty when the version is complete."""
        if not self._place(version).is_file():
            return [version]
        return sorted({md5 for _, md5 in self._files_of_version(version) if not self._place(md5).is_file()})

    def drop_damaged(self, version: str) -> list[str]:
        """Delete objects whose content does not match their md5; return the md5s of all that is missing."""
        if not self.missing(version) or self._place(version).is_file():
            for md5 in {version, *(md5 for _, md5 in self._files_of_version(version))}:
                place = self._place(md5)
                if place.is_file() and _md5(place) != md5.removesuffix(".dir"):
                    place.unlink()
        return self.missing(version)

    def restore(self, version: str, target: Path) -> int:
        """Write a version to its location, in one step; return the number of files.

        Raises:
            DataError: part of it is not in the cache.
        """
        if gone := self.missing(version):
            raise DataError(f"data version {version}: {len(gone)} of its files are not in '{self.cache.path}'")
        if not version.endswith(".dir"):
            write_text(target, self._place(version).read_text(encoding="utf-8"))
            return 1
        from dvc_data.hashfile import load
        from dvc_data.hashfile.checkout import checkout
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_objects.fs.local import LocalFileSystem

        tree = load(self.cache, HashInfo("md5", version))
        with whole_folder(target) as entry:
            checkout(str(entry), LocalFileSystem(), tree, self.cache, force=True)  # type: ignore[no-untyped-call]
            if (restored := content_version(entry)) != version:
                raise DataError(
                    f"data version {version}: restored as {restored} - its files changed meanwhile; run again"
                )
        return len(self._files_of_version(version))

    def file(self, version: str, name: str) -> Path | None:
        """Return the path of one file of a folder's version in the cache, read-only; None where it is absent."""
        if not self._place(version).is_file():
            return None
        places = [self._place(md5) for path, md5 in self._files_of_version(version) if path == name]
        return places[0] if places and places[0].is_file() else None

    def differences(self, version: str, folder: Path) -> list[str]:
        """Return the names of files that differ from a version: edited, added or deleted."""
        then = dict(self._files_of_version(version))
        now = {str(file.relative_to(folder)): _md5(file) for file in _files(folder)}
        return sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))

    def _files_of_version(self, version: str) -> list[tuple[str, str]]:
        """Return name and md5 of each file of a folder's version."""
        place = self._place(version)
        if not version.endswith(".dir") or not place.is_file():
            return []
        try:
            return [(entry["relpath"], entry["md5"]) for entry in json.loads(place.read_text(encoding="utf-8"))]
        except (ValueError, TypeError, KeyError):
            place.unlink()  # a list of files that is no list is worse than none: it can be had again
            return []

    def _place(self, md5: str) -> Path:
        return Path(self.cache.oid_to_path(md5))


def open_repo(root: Path, remotes: dict[str, Any] | None = None) -> Any:
    """Open DVC's repository of a project folder, with extra remotes beside ``.dvc/config``; git is not needed."""
    from dvc.repo import Repo

    if not (root / DVC_FOLDER / "config").is_file():
        write_text(root / DVC_FOLDER / "config", "[core]\n    analytics = false\n    no_scm = true\n")
    return Repo(str(root), config={"core": {"no_scm": True, "analytics": False}, "remote": remotes or {}})


def _md5(file: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file())
