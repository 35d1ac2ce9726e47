"""Tables written as they come, cell by cell, with the same bytes whatever the pieces in which the cells arrive."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_A_GROUP = 1 << 16
"""Check-ups in a row group, at least; a cell is never divided."""


class TableWriter:
    """A Parquet file that grows by whole cells; nothing but the row group to come is in memory.

    Args:
        file: where it is written.
        schema: its columns.
        rows: a row group has at least so many rows; 1 makes every cell one.
        optional: without any cell there is no file.
    """

    def __init__(self, file: Path, schema: pa.Schema, rows: int = ROWS_A_GROUP, optional: bool = False) -> None:
        self._file, self._schema, self._least = file, schema, rows
        self._optional = optional
        self._waiting: list[pa.Table] = []
        self._n_waiting = 0
        self._writer: Any = None

    def add(self, table: pa.Table) -> None:
        """The rows of one cell."""
        self._waiting.append(table)
        self._n_waiting += table.num_rows
        if self._n_waiting >= self._least:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._writer is None:
            words = [field.name for field in self._schema if not pa.types.is_floating(field.type)]
            # measured columns have hardly two equal values: a dictionary of them costs four times the time
            self._writer = pq.ParquetWriter(self._file, self._schema, compression="zstd", use_dictionary=words)
        if self._n_waiting:
            table = pa.concat_tables(self._waiting)
            self._writer.write_table(table, row_group_size=max(table.num_rows, 1))
        self._waiting, self._n_waiting = [], 0

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and (self._waiting or not (self._writer or self._optional)):
            self._flush()
        if self._writer is not None:
            self._writer.close()
