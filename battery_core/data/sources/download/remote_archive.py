"""Members of a zip archive, local or remote: only the requested ones, each complete or absent."""

from __future__ import annotations

import io
import logging
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from remotezip import PartialBuffer, RemoteZip
from tqdm import tqdm

from battery_core.data.sources.download.remote_ranges import RemoteFile
from battery_core.errors import DataError

logger = logging.getLogger(__name__)
_GAP = 1 << 16  # bytes between two wanted members that are cheaper to read than another request is
_BLOCK = 1 << 23  # bytes of an archive in one request and in memory, at most
_TIMES_READ = 2  # a member whose checksum is wrong is read once more: it may be the transfer
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)


@dataclass(frozen=True)
class _Block:
    """Store neighbouring members and the byte range of the archive that holds them."""

    first: int
    last: int
    members: tuple[zipfile.ZipInfo, ...]


def wanted_members(archive: zipfile.ZipFile, is_wanted: Callable[[str], bool], source: str) -> list[zipfile.ZipInfo]:
    """Return the members whose file name (without folders) is wanted, in the order of the archive.

    Raises:
        DataError: a name leads out of the folder that the archive is unpacked to.
    """
    members = [
        info for info in archive.infolist() if not info.is_dir() and is_wanted(PurePosixPath(info.filename).name)
    ]
    for info in members:
        if ".." in (path := PurePosixPath(info.filename)).parts or path.is_absolute():
            raise DataError(f"{source}: member '{info.filename}' leads out of its archive - do not trust that archive")
    return sorted(members, key=lambda info: info.header_offset)


def copy_members(archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo], into: Path, source: str) -> None:
    """Unpack some members into a folder; check size and CRC of each.

    Raises:
        DataError: a member is damaged.
    """
    for info in members:
        _write_whole(into / info.filename, _read_member(archive, info, source))


def fetch_members(remote: RemoteFile, is_wanted: Callable[[str], bool], into: Path) -> list[zipfile.ZipInfo]:
    """Download the wanted members of a remote archive into a folder; complete members are not fetched again.

    Neighbours come in one request: a server counts requests more than bytes.

    Returns:
        All wanted members, by position.

    Raises:
        DataError: the server cannot be read (see ``RemoteFile.read``), or the archive or a member is damaged.
    """
    window = _Window(remote)
    try:
        archive = RemoteZip(remote.url, fetcher=lambda *_, **__: window)
    except _DAMAGED as err:
        raise DataError(f"{remote.source}: {remote.url} is not a zip archive ({err}) - check the address") from err
    with archive:
        members = wanted_members(archive, is_wanted, remote.source)
        blocks = list(_blocks(archive, [info for info in members if not is_whole(into / info.filename, info)]))
        with _Progress(remote, sum(block.last + 1 - block.first for block in blocks)):
            for block in blocks:
                hold = partial(window.hold, block)
                hold()
                for info in block.members:
                    _write_whole(into / info.filename, _read_member(archive, info, remote.source, hold))
    return members


def is_whole(file: Path, info: zipfile.ZipInfo) -> bool:
    """Return whether a file has exactly the content that the archive's directory states for a member."""
    if not file.is_file() or file.stat().st_size != info.file_size:
        return False
    return zlib.crc32(file.read_bytes()) == info.CRC


def _read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, source: str, on_retry: Callable[[], None] = lambda: None
) -> bytes:
    for attempt in range(_TIMES_READ):
        try:
            content = archive.read(info)  # checks the CRC
            if len(content) == info.file_size:
                return content
            trouble = f"{len(content)} bytes, expected {info.file_size}"
        except _DAMAGED as err:
            trouble = str(err) or type(err).__name__
        if attempt + 1 < _TIMES_READ:
            on_retry()
    raise DataError(
        f"{source}: '{info.filename}' is damaged in its archive ({trouble}) - try again; if it stays "
        f"so, the archive is "
        "not the published one"
    )


def _write_whole(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _blocks(archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo]) -> Iterator[_Block]:
    """Group members into as few ranges of the archive as possible; a member ends where the next one begins."""
    starts = sorted(info.header_offset for info in archive.infolist())
    ends = dict(zip(starts, [*starts[1:], archive.start_dir], strict=True))
    held: list[zipfile.ZipInfo] = []
    for info in members:
        if held:
            first, last = held[0].header_offset, ends[held[-1].header_offset]
            if info.header_offset - last > _GAP or ends[info.header_offset] - first > _BLOCK:
                yield _Block(first, last - 1, tuple(held))
                held = []
        held.append(info)
    if held:
        yield _Block(held[0].header_offset, ends[held[-1].header_offset] - 1, tuple(held))


class _Window:
    """Serve reads of remotezip: from the block in memory where possible, else from the server."""

    def __init__(self, remote: RemoteFile) -> None:
        self._remote = remote
        self._first, self._content = 0, b""

    def hold(self, block: _Block) -> None:
        """Read a block from the server; its members are then read from memory."""
        self._first, self._content = self._remote.read(block.first, block.last)

    def fetch(self, data_range: tuple[int, int | None], stream: bool = False) -> PartialBuffer:
        """Return the bytes between two positions, both included; negative and None: that many bytes from the end."""
        first, last = data_range
        begin = first - self._first
        if last is not None and begin >= 0 and last < self._first + len(self._content):
            content = self._content[begin : last + 1 - self._first]
        else:
            first, content = self._remote.read(first, last)
        return PartialBuffer(io.BytesIO(content), first, len(content), stream)


class _Progress:
    """Show the download progress: a bar on a terminal, else a log line every few seconds."""

    every_s = 5.0

    def __init__(self, remote: RemoteFile, total: int) -> None:
        self._remote, self._total, self._come = remote, total, 0
        self._next = time.monotonic() + self.every_s
        self._bar = tqdm(total=total, unit="B", unit_scale=True, desc=remote.label, disable=None if total else True)

    def __enter__(self) -> None:
        self._remote.on_bytes = self._add

    def __exit__(self, *_: object) -> None:
        self._remote.on_bytes = lambda _: None
        self._bar.close()

    def _add(self, count: int) -> None:
        self._come += count
        self._bar.update(count)
        if self._bar.disable and time.monotonic() >= self._next:
            self._next = time.monotonic() + self.every_s
            logger.info("%s: %.1f of %.1f MB", self._remote.label, self._come / 1e6, self._total / 1e6)
