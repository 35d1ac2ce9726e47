"""Cells read side by side, each from its store entry where nothing changed, else from its raw files and checked."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from battery_core.data.ingest.cache import CellStore
from battery_core.data.ingest.cell_tables import CellTables, read_tables
from battery_core.data.ingest.fingerprint import SeenFile, check_unchanged, look
from battery_core.data.sources.base import CellFiles, Source
from battery_core.data.tables.cell_block import rows_of
from battery_core.data.tables.schema import checkups_arrow

if TYPE_CHECKING:
    import pyarrow as pa

    from battery_core.data.settings import DataSettings

_BATCH_BYTES = 8 << 20  # raw bytes that one worker reads and checks together: the fixed cost of a check is shared
_LEAST_BATCH_BYTES = 2 << 20
_BATCH_CELLS = 256


@dataclass(frozen=True)
class ReadBatch:
    """Cells that were read together.

    Args:
        cells: each of them, in order.
        checkups: the rows of all of them, one cell's after the other's.
    """

    cells: Sequence[ReadCell]
    checkups: pa.Table


@dataclass(frozen=True)
class ReadCell:
    """A cell, where its tables are kept, and whether it had to be read."""

    cell_id: str
    key: str
    tables: CellTables
    was_read: bool


class CellReading:
    """Reads the cells of one raw folder.

    Args:
        source: the reader.
        raw_dir: the raw folder.
        settings: the data settings.
        store: where read cells are kept.
        recipe: settings and code that the tables depend on; with a cell's files it makes the key of its entry.
        workers: threads; they play no part in the tables.
    """

    def __init__(
        self, source: Source, raw_dir: Path, settings: DataSettings, store: CellStore, recipe: str, workers: int
    ) -> None:
        self._source, self._raw, self._settings = source, raw_dir, settings
        self._store, self._recipe, self._workers = store, recipe, workers
        self._types = checkups_arrow(source.columns)

    def batches(self, cells: Sequence[CellFiles]) -> Iterator[ReadBatch]:
        """Every cell, in the order given; only some batches are in memory at any moment.

        Raises:
            DataError: a file or a table is not what it should be.
            DataChangingError: a raw file changes meanwhile.
        """
        with ThreadPoolExecutor(self._workers, thread_name_prefix="cells") as pool:
            running: deque[Future[ReadBatch]] = deque()
            try:
                for batch in self._divided(cells):
                    running.append(pool.submit(self._read, batch))
                    if len(running) > self._workers:
                        yield running.popleft().result()
                while running:
                    yield running.popleft().result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _divided(self, cells: Sequence[CellFiles]) -> Iterator[list[CellFiles]]:
        """Batches alike in size, as many for each worker: none waits long for another at the end."""
        sizes = [sum(os.stat(os.path.join(self._raw, file)).st_size for file in cell.files) for cell in cells]
        total = sum(sizes)
        rounds = math.ceil(total / (_BATCH_BYTES * self._workers))
        most = min(_BATCH_BYTES, max(_LEAST_BATCH_BYTES, math.ceil(total / max(1, rounds * self._workers))))
        batch: list[CellFiles] = []
        size = 0
        for cell, n_bytes in zip(cells, sizes, strict=True):
            if batch and (size + n_bytes / 2 > most or len(batch) >= _BATCH_CELLS):
                yield batch
                batch, size = [], 0
            batch.append(cell)
            size += n_bytes
        if batch:
            yield batch

    def _read(self, batch: Sequence[CellFiles]) -> ReadBatch:
        files, text = look(self._raw, batch, self._source.text_files)
        keys = [self._key(cell, seen) for cell, seen in zip(batch, files, strict=True)]
        found = [self._store.load(key) for key in keys]
        missing = [i for i, tables in enumerate(found) if tables is None]
        rows = None
        if missing:
            text = text if len(missing) == len(batch) else None
            fresh, rows = read_tables(self._source, self._raw, [batch[i] for i in missing], self._settings, text)
            for i, tables in zip(missing, fresh, strict=True):
                check_unchanged(batch[i].cell_id, files[i])
                found[i] = tables
            self._store.save({keys[i]: tables for i, tables in zip(missing, fresh, strict=True)})
        kept = [tables for tables in found if tables is not None]
        if rows is None or len(missing) < len(batch):
            blocks = {
                cell.cell_id: tables.checkups for cell, tables in zip(batch, kept, strict=True) if tables.checkups
            }
            rows = rows_of(blocks, self._types.names[2:])
        was_read = set(missing)
        cells = [
            ReadCell(cell.cell_id, key, tables, i in was_read)
            for i, (cell, key, tables) in enumerate(zip(batch, keys, kept, strict=True))
        ]
        return ReadBatch(cells, rows.as_arrow(self._types))

    def _key(self, cell: CellFiles, files: Sequence[SeenFile]) -> str:
        content = json.dumps([self._recipe, cell.cell_id, [(file.name, file.sha256) for file in files]])
        return hashlib.sha256(content.encode()).hexdigest()
