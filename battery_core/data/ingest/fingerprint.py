"""The state of raw files before they are read, and the check that they did not change meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from battery_core.data.sources.base import CellFiles
from battery_core.data.sources.raw_text import RawText, read_as_one
from battery_core.data.versioning.content import file_sha256
from battery_core.errors import DataChangingError

_CLOCK_S = 2.0  # the coarsest clock of a file system: a younger file may change without a new date


@dataclass(frozen=True)
class FileState:
    """Store the state of a raw file at one moment.

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


def file_states(
    raw_dir: Path, cells: Sequence[CellFiles], as_text: bool = False
) -> tuple[list[list[FileState]], RawText | None]:
    """Return the state of each file of some cells, cell by cell.

    Args:
        raw_dir: the raw folder.
        cells: the cells.
        as_text: the files are texts with one header: their content is returned too, where it can be read as one text.

    Raises:
        DataChangingError: a file that was there is gone, or is cut off while it is read.
    """
    paths, stats = {}, {}
    for cell in cells:
        for file in cell.files:
            paths[file] = os.path.join(raw_dir, file)
            stats[file] = _stat(paths[file])
            if not stats[file]:
                raise _changing(cell.cell_id, paths[file], "is gone")
    try:
        text = read_as_one(list(paths.values())) if as_text else None
        sha256s = text.sha256 if text else map(file_sha256, paths.values())
        digests = dict(zip(paths, sha256s, strict=True))
    except FileNotFoundError as err:
        raise _changing(
            f"{cells[0].cell_id}' to '{cells[-1].cell_id}", str(err.filename), "is gone, or cut off"
        ) from err
    states = {file: FileState(path, file.as_posix(), stats[file], digests[file]) for file, path in paths.items()}
    return [[states[file] for file in cell.files] for cell in cells], text


def check_unchanged(cell_id: str, files: Sequence[FileState]) -> None:
    """Validate that the bytes that were hashed are the bytes that were read.

    Date, size and place of each file must be the same. A file too young for the clock of the file system to show a
    change is hashed once more.

    Raises:
        DataChangingError: a file changed.
    """
    for file in files:
        now = _stat(file.path)
        if not now:
            raise _changing(cell_id, file.path, "is gone")
        is_young = time.time() - now[2] / 1e9 < _CLOCK_S
        if now != file.stat or (is_young and file_sha256(file.path) != file.sha256):
            raise _changing(cell_id, file.path, f"had {file.stat[0]} bytes, now {now[0]}, or another date or content")


def _stat(path: str) -> tuple[int, ...]:
    try:
        state = os.stat(path)
    except FileNotFoundError:
        return ()
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


def _changing(cell_id: str, path: str, change: str) -> DataChangingError:
    name = os.path.basename(path)
    return DataChangingError(
        f"cell '{cell_id}': {name} changes while it is read ({change}) - wait until it is written, then run again"
    )
