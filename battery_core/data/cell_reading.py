"""Cells read side by side, each from its store entry where nothing changed, else from its raw files and checked."""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from battery_core.data import schema
from battery_core.data.cell_store import CellStore, CellTables
from battery_core.data.findings import Finding
from battery_core.data.quality import check_count
from battery_core.data.quality_across import summarise
from battery_core.data.quality_rules import check_rows
from battery_core.data.sources.base import CellFiles, Source, SourceTables, concat_tables
from battery_core.data.versioning import file_sha256
from battery_core.errors import DataChangingError, DataError

if TYPE_CHECKING:
    from battery_core.data.settings import DataSettings

_BATCH_BYTES = 8 << 20  # raw bytes that one worker reads and checks together: the fixed cost of a check is shared
_BATCH_CELLS = 256
_CLOCK_S = 2.0  # the coarsest clock of a file system: a younger file may change again without a new date


@dataclass(frozen=True)
class ReadCell:
    """A cell, where its tables are kept, and whether it had to be read."""

    cell_id: str
    key: str
    tables: CellTables
    was_read: bool


@dataclass(frozen=True)
class _File:
    """A raw file as it was before it was read."""

    path: Path
    name: str
    stat: tuple[int, ...]
    sha256: str


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
        files = [self._files(cell) for cell in batch]
        keys = [self._key(cell, seen) for cell, seen in zip(batch, files, strict=True)]
        kept = [self._store.load(key) for key in keys]
        missing = [i for i, tables in enumerate(kept) if tables is None]
        fresh = read_cells(self._source, self._raw, [batch[i] for i in missing], self._settings)
        for i, tables in zip(missing, fresh, strict=True):
            for file in files[i]:
                _check_unchanged(batch[i].cell_id, file)
            self._store.save(keys[i], tables)
            kept[i] = tables
        was_read = set(missing)
        return [
            ReadCell(cell.cell_id, key, tables, i in was_read)
            for i, (cell, key, tables) in enumerate(zip(batch, keys, kept, strict=True))
            if tables is not None
        ]

    def _files(self, cell: CellFiles) -> list[_File]:
        return [_look(cell.cell_id, self._raw / file, file.as_posix()) for file in cell.files]

    def _key(self, cell: CellFiles, files: Sequence[_File]) -> str:
        content = json.dumps([self._recipe, cell.cell_id, [(file.name, file.sha256) for file in files]])
        return hashlib.sha256(content.encode()).hexdigest()


def read_cells(source: Source, raw_dir: Path, cells: Sequence[CellFiles], settings: DataSettings) -> list[CellTables]:
    """Tables of some cells from their raw files, checked together, each cell judged by itself.

    Raises:
        DataError: a file or a table is not what it should be.
    """
    if not cells:
        return []
    parts = [source.read_cell(raw_dir, cell, settings) for cell in cells]
    whole = concat_tables(parts)
    _check_cells(source, cells, parts, whole)
    checked = check_rows(whole.cells, whole.checkups, settings)
    kept = schema.check_checkups(checked.kept, source.columns)
    if whole.curves is not None:
        schema.check_curves(whole.curves)
    table = schema.as_arrow(kept, schema.checkups_arrow(source.columns))
    summaries = {summary.cell_id: summary for summary in summarise(kept)}
    taken_out = dict(iter(checked.quarantined.groupby("cell_id", sort=False))) if len(checked.quarantined) else {}
    found: dict[str, list[Finding]] = {}
    for finding in checked.findings:
        found.setdefault(finding.cell_id, []).append(finding)
    tables, start = [], 0
    for cell, part in zip(cells, parts, strict=True):
        summary = summaries.get(cell.cell_id)
        rows = summary.rows if summary else 0
        findings = (*part.findings, *found.get(cell.cell_id, ()))
        out = _quarantined([part.quarantined, taken_out.get(cell.cell_id)], findings, source)
        where = f"cell '{cell.cell_id}', source '{source.name}'"
        check_count(where, part.rows_read, rows, 0 if out is None else out.num_rows)
        curves = None if part.curves is None else schema.as_arrow(part.curves, schema.curves_arrow())
        about = dict(zip(part.cells.columns, part.cells.to_numpy()[0].tolist(), strict=True)) if summary else None
        content = _content(about, summary.content if summary else "", part.curves)
        kept_rows = table.slice(start, rows)
        tables.append(CellTables(about, kept_rows, out, curves, findings, part.rows_read, summary, content))
        start += rows
    return tables


def _check_cells(
    source: Source, cells: Sequence[CellFiles], parts: Sequence[SourceTables], whole: SourceTables
) -> None:
    """A reader gives the cell it was asked for, and no other; a cell without a check-up has no row of its own."""
    asked = [cell.cell_id for cell, part in zip(cells, parts, strict=True) for _ in range(len(part.checkups) > 0)]
    given, lengths = whole.cells["cell_id"].tolist(), [len(part.checkups) for part in parts]
    owners = np.repeat([cell.cell_id for cell in cells], lengths).astype(object)
    if given != asked or (whole.checkups["cell_id"].to_numpy(dtype=object) != owners).any():
        strange = sorted({*given, *whole.checkups["cell_id"].unique()} ^ set(asked)) or ["a cell's rows under another"]
        raise DataError(
            f"source '{source.name}': expected the cells {', '.join(asked[:3])}{' ...' * (len(asked) > 3)} with their "
            f"own check-ups, one row each; the reader gave also, or not, {', '.join(map(str, strange[:3]))} - mend its "
            "read_cell"
        )


def _quarantined(parts: Sequence[pd.DataFrame | None], findings: Sequence[Finding], source: Source) -> Any:
    """Rows taken out by the reader and by the rules, each with what was wrong; None where there is none."""
    rows = [part for part in parts if part is not None and len(part)]
    if not rows:
        return None
    reasons: dict[int, list[Finding]] = {}
    for finding in findings:
        if finding.action == "quarantined" and finding.row is not None:
            reasons.setdefault(finding.row, []).append(finding)
    whole = pd.concat(rows, ignore_index=True)
    said = [reasons.get(int(row), []) for row in whole["checkup_index"]]
    wanted = schema.quarantine_arrow(source.columns)
    whole = whole.reindex(columns=wanted.names).assign(
        rule=[", ".join(dict.fromkeys(finding.rule for finding in some)) for some in said],
        reason=["; ".join(finding.reason for finding in some) for some in said],
    )
    return schema.as_arrow(whole, wanted)


def _content(about: Any, checkups: str, curves: pd.DataFrame | None) -> str:
    """Digest of what is kept of a cell, whatever the code and the settings that kept it."""
    digest = hashlib.sha256(json.dumps([about, checkups]).encode())
    if curves is not None:
        codes, words = pd.factorize(curves["half_cycle"])
        digest.update(json.dumps(list(words)).encode() + codes.tobytes())
        for name in schema.CURVE_COLUMNS:
            if name not in schema.TEXT_COLUMNS and name != "half_cycle":
                digest.update(np.ascontiguousarray(curves[name].to_numpy()).tobytes())
    return digest.hexdigest()


def _look(cell_id: str, path: Path, name: str) -> _File:
    stat = _stat(path)
    try:
        return _File(path, name, stat, file_sha256(path))
    except FileNotFoundError as err:
        raise _changing(cell_id, path, "is gone") from err


def _stat(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _check_unchanged(cell_id: str, file: _File) -> None:
    """The bytes that were hashed are the bytes that were read: no new date, size or place, and no younger than a clock
    can tell, or else the same content once more.
    """
    now = _stat(file.path)
    if not now:
        raise _changing(cell_id, file.path, "is gone")
    is_young = time.time() - now[2] / 1e9 < _CLOCK_S
    if now != file.stat or (is_young and file_sha256(file.path) != file.sha256):
        raise _changing(cell_id, file.path, f"had {file.stat[0]} bytes, now {now[0]}, or another date or content")


def _changing(cell_id: str, path: Path, what: str) -> DataChangingError:
    return DataChangingError(
        f"cell '{cell_id}': {path.name} changes while it is read ({what}) - wait until it is written, then run again"
    )
