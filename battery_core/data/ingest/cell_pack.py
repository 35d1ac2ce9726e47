"""How the tables of a cell lie on disk: entries one after the other in a pack, each with digests of its own.

An entry is a digest, the key, the length, a header in JSON, what there is of quarantined rows and curves as Arrow
streams, and the check-ups as plain numbers. Those have a digest already, that of their content, and it stands in the
header; the digest at the beginning is of all the rest.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_core.data.ingest.cell_tables import CellTables
from battery_core.data.quality.across_cells import CellSummary
from battery_core.data.tables.cell_block import Block
from battery_core.data.tables.issues import Issue

if TYPE_CHECKING:
    import pyarrow as pa

_DIGEST = 32
_HEAD = struct.Struct("<32sQ")  # key, length of what follows
_SIZES = struct.Struct("<IQ")  # length of the header, of the check-ups at the end
_STREAMS = ("quarantined", "curves")
_COMPRESS_FROM = 1 << 14  # rows: curves of a cell are megabytes; quarantined rows are few

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
    streams = {name: _packed(table) for name in _STREAMS if (table := getattr(tables, name)) is not None}
    header = {
        "cell": tables.cell,
        "findings": [vars(finding) for finding in tables.issues],
        "rows_read": tables.rows_read,
        "summary": {**vars(tables.summary), "ranges": list(tables.summary.ranges)} if tables.summary else None,
        "content": tables.content,
        "streams": {name: len(stream) for name, stream in streams.items()},
    }
    text = json.dumps(header).encode()
    numbers = memoryview(tables.checkups.numbers).cast("B") if tables.checkups else memoryview(b"")
    said: Pieces = [_SIZES.pack(len(text), len(numbers)), text, *streams.values()]
    head = _HEAD.pack(bytes.fromhex(key), sum(map(len, said)) + len(numbers))
    digest = hashlib.sha256(head)
    for piece in said:
        digest.update(piece)
    return [digest.digest(), head, *said, numbers]


def tables_of(content: bytes) -> CellTables | None:
    """The tables in an entry; None where it is damaged or half-written."""
    import numpy as np

    start, whole = _DIGEST + _HEAD.size + _SIZES.size, memoryview(content)
    if len(whole) < start:
        return None
    n_text, n_numbers = _SIZES.unpack_from(whole, start - _SIZES.size)
    end = len(whole) - n_numbers
    if end < start or hashlib.sha256(whole[_DIGEST:end]).digest() != whole[:_DIGEST]:
        return None
    header = json.loads(bytes(whole[start : start + n_text]))
    about, summary, block = header["summary"], None, None
    if about:
        block = Block(tuple(about["ranges"]), np.frombuffer(whole[end:], dtype=float).reshape(-1, about["rows"]))
        if block.digest() != about["content"]:
            return None
        summary = CellSummary(**about | {"ranges": block.ranges()})
    return _tables(header, summary, block, whole[start + n_text : end])


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


def _tables(header: Any, summary: CellSummary | None, checkups: Block | None, streams: memoryview) -> CellTables:
    import pyarrow as pa

    tables: dict[str, Any] = dict.fromkeys(_STREAMS)
    start = 0
    for name, size in header["streams"].items():
        tables[name] = pa.ipc.open_stream(pa.py_buffer(streams[start : start + size])).read_all()
        start += size
    return CellTables(
        cell=header["cell"],
        checkups=checkups,
        issues=tuple(Issue(**finding) for finding in header["findings"]),
        rows_read=header["rows_read"],
        summary=summary,
        content=header["content"],
        **tables,
    )
