"""Cells read side by side, each from its store entry where nothing changed, else from its raw files and checked."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from battery_core.data.cell_files import SeenFile, check_unchanged, look
from battery_core.data.cell_store import CellStore
from battery_core.data.cell_tables import CellTables, read_tables
from battery_core.data.sources.base import CellFiles, Source

if TYPE_CHECKING:
    from battery_core.data.settings import DataSettings

_BATCH_BYTES = 8 << 20  # raw bytes that one worker reads and checks together: the fixed cost of a check is shared
_BATCH_CELLS = 256


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

    def cells(self, cells: Sequence[CellFiles]) -> Iterator[ReadCell]:
        """Every cell, in the order given; only some batches are in memory at any moment.

        Raises:
            DataError: a file or a table is not what it should be.
            DataChangingError: a raw file changes meanwhile.
        """
        batches = self._batches(cells)
        with ThreadPoolExecutor(self._workers, thread_name_prefix="cells") as pool:
            running: deque[Future[list[ReadCell]]] = deque()
            try:
                for batch in batches:
                    running.append(pool.submit(self._read, batch))
                    if len(running) > self._workers:
                        yield from running.popleft().result()
                while running:
                    yield from running.popleft().result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _batches(self, cells: Sequence[CellFiles]) -> Iterator[list[CellFiles]]:
        batch: list[CellFiles] = []
        size = 0
        for cell in cells:
            batch.append(cell)
            size += sum((self._raw / file).stat().st_size for file in cell.files)
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_CELLS:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _read(self, batch: Sequence[CellFiles]) -> list[ReadCell]:
        files = [look(self._raw, cell) for cell in batch]
        keys = [self._key(cell, seen) for cell, seen in zip(batch, files, strict=True)]
        kept = [self._store.load(key) for key in keys]
        missing = [i for i, tables in enumerate(kept) if tables is None]
        if missing:
            fresh = read_tables(self._source, self._raw, [batch[i] for i in missing], self._settings)
            for i, tables in zip(missing, fresh, strict=True):
                check_unchanged(batch[i].cell_id, files[i])
                kept[i] = tables
            self._store.save({keys[i]: tables for i, tables in zip(missing, fresh, strict=True)})
        was_read = set(missing)
        return [
            ReadCell(cell.cell_id, key, tables, i in was_read)
            for i, (cell, key, tables) in enumerate(zip(batch, keys, kept, strict=True))
            if tables is not None
        ]

    def _key(self, cell: CellFiles, files: Sequence[SeenFile]) -> str:
        content = json.dumps([self._recipe, cell.cell_id, [(file.name, file.sha256) for file in files]])
        return hashlib.sha256(content.encode()).hexdigest()
