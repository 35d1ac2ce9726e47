"""A cell's raw files as they were before they were read, and whether they still are."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from battery_core.data.sources.base import CellFiles
from battery_core.data.versioning import file_sha256
from battery_core.errors import DataChangingError

_CLOCK_S = 2.0  # the coarsest clock of a file system: a younger file may change again without a new date


@dataclass(frozen=True)
class SeenFile:
    """A raw file as it was seen.

    Args:
        path: where it is.
        name: its path below the raw folder.
        stat: size, dates and place on the disk.
        sha256: digest of its content.
    """

    path: str
    name: str
    stat: tuple[int, ...]
    sha256: str


def look(raw_dir: Path, cell: CellFiles) -> list[SeenFile]:
    """Each file of a cell as it is now.

    Raises:
        DataChangingError: a file that was there is gone.
    """
    return [_look(cell.cell_id, os.path.join(raw_dir, file), file.as_posix()) for file in cell.files]


def check_unchanged(cell_id: str, files: Sequence[SeenFile]) -> None:
    """The bytes that were hashed are the bytes that were read: no new date, size or place, and no younger than a clock
    can tell, or else the same content once more.

    Raises:
        DataChangingError: a file is another one now.
    """
    for file in files:
        now = _stat(file.path)
        if not now:
            raise _changing(cell_id, file.path, "is gone")
        is_young = time.time() - now[2] / 1e9 < _CLOCK_S
        if now != file.stat or (is_young and file_sha256(file.path) != file.sha256):
            raise _changing(cell_id, file.path, f"had {file.stat[0]} bytes, now {now[0]}, or another date or content")


def _look(cell_id: str, path: str, name: str) -> SeenFile:
    stat = _stat(path)
    try:
        return SeenFile(path, name, stat, file_sha256(path))
    except FileNotFoundError as err:
        raise _changing(cell_id, path, "is gone") from err


def _stat(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _changing(cell_id: str, path: str, what: str) -> DataChangingError:
    name = os.path.basename(path)
    return DataChangingError(
        f"cell '{cell_id}': {name} changes while it is read ({what}) - wait until it is written, then run again"
    )
