"""Convert the raw files of a source into checked tables, cell by cell; only changed cells are read again."""

from __future__ import annotations

import csv
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from battery_core.artifacts import StageResult
from battery_core.code_version import code_version
from battery_core.data.ingest.cache import CellCache
from battery_core.data.ingest.changes import Changes, Manifest, changes_since, describe_changes
from battery_core.data.ingest.loader import IncrementalLoader, LoadedCell
from battery_core.data.ingest.progress import Progress
from battery_core.data.ingest.table_writer import TableWriter
from battery_core.data.quality import checks as quality
from battery_core.data.quality.across_cells import AcrossCells
from battery_core.data.settings import DataSettings
from battery_core.data.sources.base import CellFiles, Source, settings_of_source
from battery_core.data.tables import schema
from battery_core.data.tables.issues import Issue
from battery_core.data.versioning.content import content_version, file_sha256
from battery_core.errors import DataError
from battery_core.files import read_json, whole_folder, write_json, write_text
from battery_core.stages.common import ORIGIN_FILE, STAGE_FILE, source_of, stage_key

if TYPE_CHECKING:
    from battery_core.settings import Settings

_LOG = logging.getLogger(__name__)
_TABLES = ("cells", "checkups", "curves", "quarantine")
_MANIFEST = "tables.json"
_MOST_WORKERS = 4
# settings that change no table of a cell: location of the data, reading speed, later use
_NOT_IN_KEY: dict[str, Any] = dict.fromkeys(
    (
        "reference_root", "workers", "keep_cells_days", "max_quarantine_share",
        "zenodo_url", "download_cache", "remote", "remote_timeout_s",
    ),
    True,
) | {"cycler": {"folder", "ignore"}}  # fmt: skip


@dataclass
class _Outcome:
    """Counts and records of the cells, collected during the run."""

    cells: list[dict[str, Any]] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    manifest: dict[str, tuple[str, str]] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    across: AcrossCells = field(default_factory=AcrossCells)
    files: dict[str, str] = field(default_factory=dict)  # digests of the tables, by file name
    rows_read: int = 0
    rows_kept: int = 0
    rows_quarantined: int = 0
    cells_read: int = 0


def normalize(
    settings: Settings, raw: StageResult | None = None, log: Callable[[str], None] = _LOG.info
) -> StageResult:
    """Convert raw files to the canonical tables; quarantine and count every unusable row.

    Units are converted once. The version depends on the content of the tables only: neither the order of the cells,
    nor the number of workers, nor the cache changes it.

    Raises:
        DataError: a file or a table is invalid, or too many rows are unusable.
        DataChangingError: a raw file is being written; a retry may succeed.
    """
    source, name = source_of(settings), settings.data.source
    raw_folder = settings.folder("data") / "raw" / name
    if not (raw_folder / ORIGIN_FILE).is_file():
        raise DataError(f"normalize: no raw data of '{name}' in '{raw_folder}' - run the stage fetch first")
    raw_version = raw.version if raw else content_version(raw_folder)
    source_settings = settings_of_source(source, settings.data)
    key_settings, reader = source_settings.model_dump(mode="json", exclude=_NOT_IN_KEY), type(source)
    key = stage_key(raw_version, key_settings, source_settings.max_quarantine_share, code_version(normalize, reader))
    folder = settings.folder("data") / "normalized" / name
    earlier = read_json(folder / STAGE_FILE)
    if earlier is not None and earlier["key"] == key and _are_files_whole(folder, earlier["files"]):
        return StageResult(folder, earlier["version"], True, f"normalize: {source.label}: raw data unchanged, skipped")
    cache_folder = settings.folder("data") / "cells" / name
    cache = CellCache(cache_folder)
    cell_recipe = stage_key(name, key_settings, code_version(IncrementalLoader, reader))
    cells = sorted(source.cell_files(raw_folder, source_settings), key=lambda cell: cell.cell_id)
    workers = source_settings.workers or min(_MOST_WORKERS, os.cpu_count() or 1)
    loader = IncrementalLoader(source, raw_folder, source_settings, cache, cell_recipe, workers)
    with whole_folder(folder) as tmp:
        with Progress(len(cells), f"normalize: {source.label}: cells", log) as progress:
            outcome = _write_tables(tmp, source, loader, cells, progress)
        _write_issues(tmp, source, outcome, source_settings)
        files = {file.name: outcome.files.get(file.name) or file_sha256(file) for file in sorted(tmp.iterdir())}
        version = stage_key({name: files[f"{name}.parquet"] for name in _TABLES if f"{name}.parquet" in files})
        write_json(tmp / STAGE_FILE, {"key": key, "raw_version": raw_version, "version": version, "files": files})
    changes = _changes(cache_folder / _MANIFEST, folder, version, outcome, cache)
    cache.prune(source_settings.keep_cells_days, outcome.keys)
    return StageResult(folder, version, False, f"normalize: {source.label}: {_describe_outcome(outcome, changes)}")


def changes_file(tables: Path) -> Path:
    """Return the file with the changes of the tables in a folder.

    The file is beside the folder, because the tables do not depend on earlier versions.
    """
    return tables.with_name(f"{tables.name}.changes.json")


def _are_files_whole(folder: Path, files: dict[str, str]) -> bool:
    return all((folder / name).is_file() and file_sha256(folder / name) == sha for name, sha in files.items())


def _write_tables(
    folder: Path, source: Source, loader: IncrementalLoader, cells: list[CellFiles], progress: Progress
) -> _Outcome:
    """Append the rows of every cell to the tables, in order of the cell names."""
    outcome = _Outcome()
    with (
        TableWriter(folder / "checkups.parquet", schema.checkups_arrow(source.columns)) as checkups,
        TableWriter(folder / "quarantine.parquet", schema.quarantine_arrow(source.columns)) as quarantine,
        TableWriter(
            folder / "curves.parquet", schema.curves_arrow(), rows=1, optional=True, compression="zstd"
        ) as curves,
    ):
        for batch in loader.batches(cells):
            checkups.add(batch.checkups, [cell.tables.checkups.num_rows for cell in batch.cells])
            for cell in batch.cells:
                if cell.tables.quarantined is not None:
                    quarantine.add(cell.tables.quarantined)
                if cell.tables.curves is not None:
                    curves.add(cell.tables.curves)
                _count(outcome, cell)
                progress.step()
    outcome.files = {table.name: table.sha256() for table in (checkups, quarantine, curves)}
    table = schema.check_cells(pd.DataFrame(outcome.cells, columns=list(schema.CELL_COLUMNS)))
    with TableWriter(folder / "cells.parquet", schema.cells_arrow()) as writer:
        writer.add(schema.as_arrow(table, schema.cells_arrow()))
    return outcome


def _count(outcome: _Outcome, cell: LoadedCell) -> None:
    tables = cell.tables
    outcome.keys.add(cell.key)
    outcome.cells_read += cell.was_read
    outcome.rows_read += tables.rows_read
    outcome.rows_kept += tables.checkups.num_rows
    outcome.rows_quarantined += 0 if tables.quarantined is None else tables.quarantined.num_rows
    outcome.issues += tables.issues
    if tables.cell is not None and tables.summary is not None:
        outcome.cells.append(dict(tables.cell))
        outcome.manifest[cell.cell_id] = (cell.key, tables.content)
        outcome.across.add(tables.summary)


def _write_issues(folder: Path, source: Source, outcome: _Outcome, settings: DataSettings) -> None:
    """Write quality.json and issues.csv; check the share of quarantined rows.

    Raises:
        DataError: the share of quarantined rows is above the limit, no cell is left, or rows were lost.
    """
    issues = outcome.issues + outcome.across.issues()
    summary = quality.summary(outcome.rows_read, outcome.rows_kept, outcome.rows_quarantined, issues)
    quality.check_share(outcome.rows_read, outcome.rows_quarantined, issues, settings.max_quarantine_share)
    if not outcome.cells:
        raise DataError(
            f"normalize: every row of all {len(outcome.keys)} cell(s) is quarantined: no cell is left - fix the raw "
            "files; the issues name row and reason"
        )
    with (folder / "issues.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([column.name for column in fields(Issue)])
        table.writerows(vars(issue).values() for issue in issues)
    summary |= {"source": source.name, "label": source.label, "simulated": source.simulated}
    summary["roles"] = {column: str(role) for column, role in source.columns.items()}
    write_text(folder / "quality.json", _one_line_an_issue(summary))


def _one_line_an_issue(summary: dict[str, Any]) -> str:
    """Return the summary as JSON with one line an issue.

    There may be many issues, and Python takes thirty times as long to indent each field.
    """
    lines = ",\n".join(f"    {json.dumps(issue)}" for issue in summary["findings"])
    text = json.dumps({**summary, "findings": []}, indent=2) + "\n"
    return text.replace('"findings": []', f'"findings": [\n{lines}\n  ]', 1) if lines else text


def _changes(file: Path, folder: Path, version: str, outcome: _Outcome, cache: CellCache) -> Changes:
    """Return the changes since the previous tables, and write them for the report."""
    before, now = Manifest.from_json(read_json(file)), Manifest(version, outcome.manifest)
    changes = changes_since(before, now, cache)
    if before is None or before.version != version:
        write_json(changes_file(folder), {"version": version, **changes})
        write_text(file, json.dumps(now.as_json()))
    return changes


def _describe_outcome(outcome: _Outcome, changes: Changes) -> str:
    quarantined = f", {outcome.rows_quarantined} quarantined" if outcome.rows_quarantined else ""
    before = changes["previous_version"]
    new = (
        f"new since version {before[:12]}: {describe_changes(changes) or 'nothing'}" if before else "the first version"
    )
    return (
        f"{len(outcome.cells)} cells, {outcome.rows_kept} check-ups{quarantined}; {outcome.cells_read} cells read, "
        f"{len(outcome.keys) - outcome.cells_read} unchanged; {new}"
    )
