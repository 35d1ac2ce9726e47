"""Cache of the tables of each cell: one Arrow file per cell, named by a key of all its inputs.

A file is written beside its place and moved there, so it is whole or absent. Arrow streams carry no checksum: the first
32 bytes are the SHA-256 of the rest, and a damaged file counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa

from battery_core.data.ingest.cell_tables import CellTables
from battery_core.data.quality.across_cells import CellSummary
from battery_core.data.tables.issues import Issue

_LOG = logging.getLogger(__name__)
_DAY_S = 24 * 3600
_DIGEST_BYTES = 32
_COMPRESS_FROM_ROWS = 1 << 14  # curves of a cell are megabytes; check-ups hardly shrink
_METADATA = b"cell"  # the schema metadata of the first stream: all that is no table, as JSON
_SUFFIX = ".arrow"


class CellCache:
    """Store the tables of the cells of one source in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, key: str, tables: CellTables) -> None:
        """Write the tables of a cell under the key of all that they depend on."""
        content = _serialize(tables)
        self._folder.mkdir(parents=True, exist_ok=True)
        tmp = self._folder / f".{key}.{os.getpid()}-{threading.get_ident()}.part"
        try:
            with tmp.open("wb", buffering=0) as stream:
                stream.write(hashlib.sha256(content).digest())
                stream.write(content)
            tmp.replace(self._file(key))
        finally:
            tmp.unlink(missing_ok=True)

    def load(self, key: str) -> CellTables | None:
        """Return the tables of a key; None where there are none, or where the file is damaged."""
        try:
            content = self._file(key).read_bytes()
        except FileNotFoundError:
            return None
        rest = memoryview(content)[_DIGEST_BYTES:]
        if hashlib.sha256(rest).digest() != content[:_DIGEST_BYTES]:
            _LOG.warning("the cached tables '%s' are damaged: the cell is read again", key)
            return None
        return _deserialize(rest)

    def prune(self, days: float, used_keys: Collection[str]) -> int:
        """Delete files that no run used for so many days, also half-written ones; return the number deleted.

        The date of a file is that of its last use, to the day.
        """
        used, deleted, now = {key + _SUFFIX for key in used_keys}, 0, time.time()
        for entry in os.scandir(self._folder) if self._folder.is_dir() else ():
            age_s = now - entry.stat().st_mtime
            if entry.name in used:
                if age_s > _DAY_S:
                    os.utime(entry.path)
            elif entry.name.endswith((_SUFFIX, ".part", ".cells")) and age_s > days * _DAY_S:  # .cells: before 0.2
                Path(entry.path).unlink(missing_ok=True)
                deleted += 1
        return deleted

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}{_SUFFIX}"


def _serialize(tables: CellTables) -> pa.Buffer:
    """Return Arrow streams one after the other: check-ups, then quarantined rows and curves where there are any."""
    optional = {"quarantined": tables.quarantined, "curves": tables.curves}
    streams = {name: table for name, table in optional.items() if table is not None}
    metadata = {
        "cell": tables.cell,
        "issues": [vars(issue) for issue in tables.issues],
        "rows_read": tables.rows_read,
        "summary": vars(tables.summary) if tables.summary else None,
        "content": tables.content,
        "streams": list(streams),
    }
    sink = pa.BufferOutputStream()
    for table in (tables.checkups.replace_schema_metadata({_METADATA: json.dumps(metadata)}), *streams.values()):
        compression = "lz4" if table.num_rows > _COMPRESS_FROM_ROWS else None
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
            writer.write_table(table)
    return sink.getvalue()


def _deserialize(content: memoryview) -> CellTables:
    source = pa.BufferReader(pa.py_buffer(content))
    checkups = pa.ipc.open_stream(source).read_all()
    metadata = json.loads(checkups.schema.metadata[_METADATA])
    streams = {name: pa.ipc.open_stream(source).read_all() for name in metadata["streams"]}
    return CellTables(
        cell=metadata["cell"],
        checkups=checkups.replace_schema_metadata(None),
        quarantined=streams.get("quarantined"),
        curves=streams.get("curves"),
        issues=tuple(Issue(**issue) for issue in metadata["issues"]),
        rows_read=metadata["rows_read"],
        summary=CellSummary(**metadata["summary"]) if metadata["summary"] else None,
        content=metadata["content"],
    )
