"""The read tables of each cell, kept by content: a cell is read again only when its files, settings or code change.

An entry is one file, ``<key>.cell``: a digest of all that follows, a header in JSON, then the tables as Arrow streams.
It is written beside its place and renamed, so a killed run leaves no half entry; a damaged one does not match its
digest and counts as not there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_core.data.findings import Finding
from battery_core.data.quality_across import CellSummary

if TYPE_CHECKING:
    import pyarrow as pa

_LOG = logging.getLogger(__name__)
_DIGEST = 32
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


class CellStore:
    """A folder of entries of one source."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

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
        body = b"".join([struct.pack("<I", len(text)), text, *streams.values()])
        file = self._file(key)
        part = f"{file}.{os.getpid()}.part"
        os.makedirs(file.parent, exist_ok=True)
        with open(part, "wb", buffering=0) as stream:
            stream.writelines([hashlib.sha256(body).digest(), body])
        os.replace(part, file)

    def load(self, key: str) -> CellTables | None:
        """The tables of a key; None where they are not kept, or the entry is damaged."""
        file = self._file(key)
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return None
        body = memoryview(content)[_DIGEST:]
        if hashlib.sha256(body).digest() != content[:_DIGEST]:
            _LOG.warning("the kept tables in '%s' are damaged: the cell is read again", file.name)
            return None
        return _unpacked(body)

    def prune(self, days: float, used: Collection[str]) -> int:
        """Delete entries that no run has used for so many days, and what killed runs left; the number deleted.

        The date of an entry says when it was last used, to the day.
        """
        deleted, now = 0, time.time()
        for file in self._folder.glob("*/*"):
            age = now - file.stat().st_mtime
            if file.stem in used:
                if age > _DAY_S:
                    os.utime(file)
            elif age > days * _DAY_S:
                file.unlink(missing_ok=True)
                deleted += 1
        return deleted

    def _file(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.cell"


def _packed(table: pa.Table) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4" if table.num_rows > _COMPRESS_FROM else None)
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


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
