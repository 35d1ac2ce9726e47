"""The read tables of each cell, kept by content: a cell is read again only when its files, settings or code change.

Each run that reads cells writes one pack, for making a file costs more than checking a cell. A pack is a row of
entries: a digest of all that follows, the key, the length, then a header in JSON and the tables as Arrow streams. An
entry that a killed run left half-written, or that is damaged, does not match its digest and counts as not there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_core.data.findings import Finding
from battery_core.data.quality_across import CellSummary

if TYPE_CHECKING:
    import pyarrow as pa

_LOG = logging.getLogger(__name__)
_DIGEST = 32
_HEAD = struct.Struct("<32sQ")  # key, length of what follows
_PARTS = ("checkups", "quarantined", "curves")
_DAY_S = 24 * 3600
_COMPRESS_FROM = 1 << 14  # rows: curves of a cell are megabytes; check-ups are few and quicker as they are


@dataclass(frozen=True)
class CellTables:
    """One cell, read and checked: ``rows_read`` check-ups are in ``checkups`` or in ``quarantined``.

    Args:
        cell: its row of the cells table; None where no check-up is left.
        checkups: rows kept, in order.
        quarantined: rows taken out, each with rule and reason; None where none was.
        curves: time series, where the source has them.
        findings: what is wrong with this cell.
        rows_read: check-up rows in its raw files.
        summary: what the rules across cells need; None where no check-up is left.
        content: digest of what is kept.
    """

    cell: Mapping[str, Any] | None
    checkups: pa.Table
    quarantined: pa.Table | None
    curves: pa.Table | None
    findings: tuple[Finding, ...]
    rows_read: int
    summary: CellSummary | None
    content: str


@dataclass(frozen=True)
class _Place:
    """Where an entry lies in a pack."""

    pack: Path
    start: int
    length: int


class CellStore:
    """A folder of packs of one source."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = folder / f"{time.time_ns()}-{os.getpid()}.cells"
        self._end = 0  # of our own pack
        self._lock = threading.Lock()
        self._places = _places(folder)

    def save(self, key: str, tables: CellTables) -> None:
        """Keep a cell's tables under the key of all that they depend on."""
        streams = {name: _packed(table) for name in _PARTS if (table := getattr(tables, name)) is not None}
        header = {
            "cell": tables.cell,
            "findings": [vars(finding) for finding in tables.findings],
            "rows_read": tables.rows_read,
            "summary": vars(tables.summary) if tables.summary else None,
            "content": tables.content,
            "parts": {name: len(stream) for name, stream in streams.items()},
        }
        text = json.dumps(header).encode()
        body: list[bytes | memoryview] = [struct.pack("<I", len(text)), text, *streams.values()]
        head = _HEAD.pack(bytes.fromhex(key), sum(map(len, body)))
        digest = hashlib.sha256(head)
        for piece in body:
            digest.update(piece)
        self._append(key, [digest.digest(), head, *body])

    def _append(self, key: str, pieces: Sequence[bytes | memoryview]) -> None:
        length = sum(map(len, pieces))
        with self._lock:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._own.open("ab") as stream:
                stream.writelines(pieces)
            self._places[key] = _Place(self._own, self._end, length)
            self._end += length

    def load(self, key: str) -> CellTables | None:
        """The tables of a key; None where they are not kept, or the entry is damaged."""
        if key not in self._places:
            return None
        content = self._content(self._places[key])
        if hashlib.sha256(memoryview(content)[_DIGEST:]).digest() != content[:_DIGEST]:
            _LOG.warning("the kept tables '%s' are damaged: the cell is read again", key)
            return None
        return _unpacked(memoryview(content)[_DIGEST + _HEAD.size :])

    def _content(self, place: _Place) -> bytes:
        try:
            with place.pack.open("rb") as stream:
                stream.seek(place.start)
                return stream.read(place.length)
        except FileNotFoundError:
            return b""

    def prune(self, days: float, used: Collection[str]) -> int:
        """Delete packs that no run has used for so many days; the number deleted.

        The date of a pack says when it was last used, to the day. A pack that is hardly used any more hands on what is
        used of it, and grows old from then on.
        """
        live: dict[Path, list[tuple[str, _Place]]] = {pack: [] for pack in self._folder.glob("*.cells")}
        for key, place in self._places.items():
            if key in used and place.pack in live:
                live[place.pack].append((key, place))
        deleted, now = 0, time.time()
        for pack, entries in live.items():
            about = pack.stat()
            if entries and 2 * sum(place.length for _, place in entries) < about.st_size:
                for key, place in entries:
                    self._append(key, [self._content(place)])
            elif entries and now - about.st_mtime > _DAY_S:
                os.utime(pack)
            elif not entries and now - about.st_mtime > days * _DAY_S:
                pack.unlink(missing_ok=True)
                deleted += 1
        return deleted


def _places(folder: Path) -> dict[str, _Place]:
    """Every whole entry below a folder; of two with one key the one that was written last."""
    places = {}
    for pack in sorted(folder.glob("*.cells")):
        size, start = pack.stat().st_size, 0
        with pack.open("rb") as stream:
            while start + _DIGEST + _HEAD.size <= size:
                stream.seek(start + _DIGEST)
                key, length = _HEAD.unpack(stream.read(_HEAD.size))
                place = _Place(pack, start, _DIGEST + _HEAD.size + length)
                start += place.length
                if start <= size:
                    places[key.hex()] = place
    return places


def _packed(table: pa.Table) -> memoryview:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4" if table.num_rows > _COMPRESS_FROM else None)
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table)
    packed: memoryview = memoryview(sink.getvalue())
    return packed


def _unpacked(body: memoryview) -> CellTables:
    import pyarrow as pa

    (length,) = struct.unpack_from("<I", body)
    start = 4 + length
    header = json.loads(bytes(body[4:start]))
    tables: dict[str, Any] = dict.fromkeys(_PARTS)
    for name, size in header["parts"].items():
        tables[name] = pa.ipc.open_stream(pa.py_buffer(body[start : start + size])).read_all()
        start += size
    summary = CellSummary(**header["summary"]) if header["summary"] else None
    return CellTables(
        cell=header["cell"],
        findings=tuple(Finding(**finding) for finding in header["findings"]),
        rows_read=header["rows_read"],
        summary=summary,
        content=header["content"],
        **tables,
    )
