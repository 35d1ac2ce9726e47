"""The incremental loader: each cell comes from its cache file where nothing changed, else from its raw files."""

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

import numpy as np
import pyarrow as pa

from battery_core.data.ingest.cache import CellCache
from battery_core.data.ingest.cell_tables import CellTables, read_tables
from battery_core.data.ingest.fingerprint import FileState, check_unchanged, file_states
from battery_core.data.sources.base import CellFiles, Source
from battery_core.data.tables.schema import checkups_arrow

if TYPE_CHECKING:
    from battery_core.data.settings import DataSettings

_BATCH_BYTES = 8 << 20  # raw bytes that one worker reads and checks together: the fixed cost of a check is shared
_MIN_BATCH_BYTES = 2 << 20
_BATCH_CELLS = 256


@dataclass(frozen=True)
class LoadedCell:
    """Store a cell, the cache key of its tables, and whether its raw files had to be read."""

    cell_id: str
    key: str
    tables: CellTables
    was_read: bool


@dataclass(frozen=True)
class LoadedBatch:
    """Store cells that were loaded together.

    Args:
        cells: each of them, in order.
        checkups: the rows of all of them, cell by cell.
    """

    cells: Sequence[LoadedCell]
    checkups: pa.Table


class IncrementalLoader:
    """Load the cells of one raw folder; only cells whose files, settings or code changed are read.

    Args:
        source: the reader.
        raw_dir: the raw folder.
        settings: the data settings.
        cache: the tables of cells that were read before.
        recipe: settings and code that the tables depend on; with a cell's files it makes the key of its tables.
        workers: threads; their number does not change the tables.
    """

    def __init__(
        self, source: Source, raw_dir: Path, settings: DataSettings, cache: CellCache, recipe: str, workers: int
    ) -> None:
        self._source, self._raw, self._settings = source, raw_dir, settings
        self._cache, self._recipe, self._workers = cache, recipe, workers
        self._types = checkups_arrow(source.columns)

    def batches(self, cells: Sequence[CellFiles]) -> Iterator[LoadedBatch]:
        """Yield every cell in the order of the argument; only a few batches are in memory at any moment.

        Raises:
            DataError: a file or a table is not valid.
            DataChangingError: a raw file changes while it is read.
        """
        with ThreadPoolExecutor(self._workers, thread_name_prefix="cells") as pool:
            running: deque[Future[LoadedBatch]] = deque()
            try:
                for batch in self._divide(cells):
                    running.append(pool.submit(self._load, batch))
                    if len(running) > self._workers:
                        yield running.popleft().result()
                while running:
                    yield running.popleft().result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _divide(self, cells: Sequence[CellFiles]) -> Iterator[list[CellFiles]]:
        """Yield batches alike in size, as many for each worker: none waits long for another at the end."""
        sizes = [sum(os.stat(os.path.join(self._raw, file)).st_size for file in cell.files) for cell in cells]
        total = sum(sizes)
        rounds = math.ceil(total / (_BATCH_BYTES * self._workers))
        target = min(_BATCH_BYTES, max(_MIN_BATCH_BYTES, math.ceil(total / max(1, rounds * self._workers))))
        batch: list[CellFiles] = []
        size = 0
        for cell, n_bytes in zip(cells, sizes, strict=True):
            if batch and (size + n_bytes / 2 > target or len(batch) >= _BATCH_CELLS):
                yield batch
                batch, size = [], 0
            batch.append(cell)
            size += n_bytes
        if batch:
            yield batch

    def _load(self, batch: Sequence[CellFiles]) -> LoadedBatch:
        states, text = file_states(self._raw, batch, self._source.text_files)
        keys = [self._key(cell, files) for cell, files in zip(batch, states, strict=True)]
        tables = {i: cached for i, key in enumerate(keys) if (cached := self._cache.load(key)) is not None}
        missing = [i for i in range(len(batch)) if i not in tables]
        if missing:
            text = text if len(missing) == len(batch) else None
            fresh = read_tables(self._source, self._raw, [batch[i] for i in missing], self._settings, text)
            for i, cell_tables in zip(missing, fresh, strict=True):
                check_unchanged(batch[i].cell_id, states[i])
                self._cache.save(keys[i], cell_tables)
                tables[i] = cell_tables
        was_read = set(missing)
        cells = [
            LoadedCell(cell.cell_id, key, tables[i], i in was_read)
            for i, (cell, key) in enumerate(zip(batch, keys, strict=True))
        ]
        return LoadedBatch(cells, _join(cells, self._types))

    def _key(self, cell: CellFiles, files: Sequence[FileState]) -> str:
        content = json.dumps([self._recipe, cell.cell_id, [(file.name, file.sha256) for file in files]])
        return hashlib.sha256(content.encode()).hexdigest()


def _join(cells: Sequence[LoadedCell], types: pa.Schema) -> pa.Table:
    """Return the check-ups of cells one after the other, with the column ``cell_id``."""
    numbers = pa.concat_tables([cell.tables.checkups for cell in cells])
    codes = np.repeat(np.arange(len(cells)), [cell.tables.checkups.num_rows for cell in cells])
    names = pa.array([cell.cell_id for cell in cells], types.field("cell_id").type)
    cell_ids = pa.DictionaryArray.from_arrays(codes, names).cast(names.type)
    return numbers.add_column(types.get_field_index("cell_id"), types.field("cell_id"), cell_ids)
