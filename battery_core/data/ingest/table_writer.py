"""Incremental writer of tables, with the same bytes for any grouping of the cells."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_A_GROUP = 1 << 14
"""Check-ups in a row group, at least; a cell is never divided."""
_CHUNK = 1 << 20


class TableWriter:
    """Write a Parquet file cell by cell; only the next row group is in memory.

    Args:
        file: where it is written.
        schema: its columns.
        rows: minimum rows of a row group; with 1, each cell is a row group.
        optional: write no file if there is no cell.
        compression: lz4 is fast but hardly compresses full-precision numbers; zstd is slow and compresses best.
    """

    def __init__(
        self, file: Path, schema: pa.Schema, rows: int = ROWS_A_GROUP, optional: bool = False, compression: str = "lz4"
    ) -> None:
        self._file, self._schema, self._least = file, schema, rows
        self._optional, self._compression = optional, compression
        self._waiting: list[pa.Table] = []
        self._n_waiting = 0
        self._writer: Any = None
        self._digest, self._n_digested = hashlib.sha256(), 0

    def add(self, table: pa.Table, counts: Sequence[int] | None = None) -> None:
        """Add the rows of one cell, or of several cells with the number of rows of each."""
        start = end = 0
        for n in [table.num_rows] if counts is None else counts:
            end += n
            self._n_waiting += n
            if self._n_waiting >= self._least:
                self._waiting.append(table.slice(start, end - start))
                self._flush()
                start = end
        if end > start:
            self._waiting.append(table.slice(start, end - start))

    def _flush(self) -> None:
        if self._writer is None:
            words = [field.name for field in self._schema if pa.types.is_large_string(field.type)]
            # measured columns have hardly two equal values: a dictionary of them costs four times the time
            self._writer = pq.ParquetWriter(
                self._file,
                self._schema,
                compression=self._compression,
                use_dictionary=words,
                write_statistics=words,
                write_batch_size=ROWS_A_GROUP,
            )
        if self._n_waiting:
            table = pa.concat_tables(self._waiting).combine_chunks()  # pages must not depend on the pieces
            self._writer.write_table(table, row_group_size=max(table.num_rows, 1))
            self._digest_more()
        self._waiting, self._n_waiting = [], 0

    def _digest_more(self) -> None:
        """Hash the bytes written since the last call, in parallel with the reads; they are not written again."""
        with self._file.open("rb", buffering=0) as written:
            written.seek(self._n_digested)
            while chunk := written.read(_CHUNK):
                self._digest.update(chunk)
                self._n_digested += len(chunk)

    @property
    def name(self) -> str:
        """Return the name of the file."""
        return self._file.name

    def sha256(self) -> str:
        """Return the digest of the whole file, once it is closed."""
        return self._digest.hexdigest()

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and (self._waiting or not (self._writer or self._optional)):
            self._flush()
        if self._writer is not None:
            self._writer.close()
            self._digest_more()
