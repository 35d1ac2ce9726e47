"""How the tables of a cell lie on disk: entries one after the other in a pack, each with a digest of its own.

An entry is a digest of all that follows, the key, the length, then a header in JSON and the tables as Arrow streams.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_core.data.cell_tables import CellTables
from battery_core.data.findings import Finding
from battery_core.data.quality_across import CellSummary

if TYPE_CHECKING:
    import pyarrow as pa

_DIGEST = 32
_HEAD = struct.Struct("<32sQ")  # key, length of what follows
_PARTS = ("checkups", "quarantined", "curves")
_COMPRESS_FROM = 1 << 14  # rows: curves of a cell are megabytes; check-ups are few and quicker as they are

Pieces = list[bytes | memoryview]


@dataclass(frozen=True)
class Place:
    """Where an entry lies in a pack."""

    pack: Path
    start: int
    length: int

    def content(self) -> bytes:
        """The entry; nothing where its pack is gone."""
        try:
            with self.pack.open("rb") as stream:
                stream.seek(self.start)
                return stream.read(self.length)
        except FileNotFoundError:
            return b""


def entry(key: str, tables: CellTables) -> Pieces:
    """A cell's tables under the key of all that they depend on, to be written one piece after the other."""
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
    body: Pieces = [struct.pack("<I", len(text)), text, *streams.values()]
    head = _HEAD.pack(bytes.fromhex(key), sum(map(len, body)))
    digest = hashlib.sha256(head)
    for piece in body:
        digest.update(piece)
    return [digest.digest(), head, *body]


def tables_of(content: bytes) -> CellTables | None:
    """The tables in an entry; None where it is damaged or half-written."""
    whole = memoryview(content)
    if hashlib.sha256(whole[_DIGEST:]).digest() != content[:_DIGEST]:
        return None
    return _unpacked(whole[_DIGEST + _HEAD.size :])


def places(pack: Path) -> Iterator[tuple[str, Place]]:
    """Every entry of a pack that is not cut off, by its key; whether it is damaged is seen when it is loaded."""
    size, start = pack.stat().st_size, 0
    with pack.open("rb") as stream:
        while start + _DIGEST + _HEAD.size <= size:
            stream.seek(start + _DIGEST)
            key, length = _HEAD.unpack(stream.read(_HEAD.size))
            place = Place(pack, start, _DIGEST + _HEAD.size + length)
            start += place.length
            if start <= size:
                yield key.hex(), place


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
