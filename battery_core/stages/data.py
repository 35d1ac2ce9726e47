"""fetch -> normalize -> split: raw files of a source to checked tables to frozen lists of cells."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from battery_core.data import quality, schema
from battery_core.data.names import SOURCES
from battery_core.data.sources.base import Source
from battery_core.data.splits import CellSplit, make_split
from battery_core.data.splits import resolve as resolve_split
from battery_core.data.versioning import code_version, content_version, file_sha256
from battery_core.errors import DataError
from battery_core.files import read_json, whole_folder, write_json, write_text
from battery_core.settings import Settings
from battery_core.stages import Staged

ORIGIN_FILE = "ORIGIN.json"
STAGE_FILE = "stage.json"


def source_of(settings: Settings) -> Source:
    """The source the settings name."""
    source: Source = SOURCES.get(settings.data.source)
    return source


def fetch(settings: Settings) -> Staged:
    """Bring the raw files of the source; nothing is fetched again while its origin is unchanged.

    Until then a raw file that was edited (a corrected reading, say) is kept and makes a new data version; a changed
    origin replaces it, and that is said.

    Raises:
        DataError: the origin cannot be read.
    """
    source, folder = source_of(settings), settings.folder("data") / "raw" / settings.data.source
    origin = source.origin_key(settings.data)
    known = read_json(folder / ORIGIN_FILE)
    edited = _edited(folder, known["files"]) if known is not None else []
    names = ", ".join(edited[:3])
    if known is not None and known["origin"] == origin:
        note = f"; {len(edited)} raw file(s) differ from what was fetched: {names}" if edited else ""
        return Staged(folder, content_version(folder), True, f"fetch: {source.label}: origin unchanged, skipped{note}")
    with whole_folder(folder) as part:
        source.fetch(part, settings.data)
        files = {str(file.relative_to(part)): file_sha256(file) for file in _files(part)}
        if not files:
            raise DataError(f"source '{source.name}': expected raw files, fetched none - check its origin")
        write_json(part / ORIGIN_FILE, {"source": source.name, "origin": origin, "files": files})
    note = f"; {len(edited)} raw file(s) edited here are replaced: {names}" if edited else ""
    return Staged(folder, content_version(folder), False, f"fetch: {source.label}: {len(files)} files{note}")


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.name != ORIGIN_FILE)


def _edited(folder: Path, fetched: dict[str, str]) -> list[str]:
    now = {str(file.relative_to(folder)): file_sha256(file) for file in _files(folder)}
    return sorted(name for name in fetched.keys() | now.keys() if fetched.get(name) != now.get(name))


def normalize(settings: Settings, raw: Staged | None = None) -> Staged:
    """Raw files to the canonical tables, units converted once, every unusable row quarantined and counted.

    Raises:
        DataError: a file or a table is not what it should be, or too much of it is unusable.
    """
    source, name = source_of(settings), settings.data.source
    raw_folder = settings.folder("data") / "raw" / name
    if not (raw_folder / ORIGIN_FILE).is_file():
        raise DataError(f"normalize: no raw data of '{name}' in '{raw_folder}' - run the stage fetch first")
    raw_version = raw.version if raw else content_version(raw_folder)
    key = stage_key(
        raw_version, settings.data.model_dump(mode="json", exclude={"reference_root"}), code_version("data", "units")
    )
    folder = settings.folder("data") / "normalized" / name
    standing = read_json(folder / STAGE_FILE)
    if standing is not None and standing["key"] == key and _whole(folder, standing["files"]):
        return Staged(folder, standing["version"], True, f"normalize: {source.label}: raw data unchanged, skipped")
    tables = source.read(raw_folder, settings.data)
    clean, found = quality.check_quality(tables.cells, tables.checkups, settings.data)
    findings = [*tables.findings, *found]
    lost = tables.rows_read - len(clean)
    about = quality.summary(tables.rows_read, len(clean), lost, findings)
    quality.check_share(tables.rows_read, lost, findings, settings.data.max_quarantine_share)
    written = {"cells": schema.check_cells(tables.cells), "checkups": schema.check_checkups(clean, source.columns)}
    if tables.curves is not None:
        written["curves"] = schema.check_curves(tables.curves)
    with whole_folder(folder) as part:
        _write_tables(part, written, about, findings, source)
        files = {file.name: file_sha256(file) for file in _files(part)}
        version = stage_key(files)
        write_json(part / STAGE_FILE, {"key": key, "raw_version": raw_version, "version": version, "files": files})
    taken_out = f", {about['rows_quarantined']} quarantined" if about["rows_quarantined"] else ""
    text = f"normalize: {source.label}: {len(tables.cells)} cells, {len(clean)} check-ups{taken_out}"
    return Staged(folder, version, False, text)


def _write_tables(
    folder: Path, tables: dict[str, pd.DataFrame], about: dict[str, Any], findings: list[Any], source: Source
) -> None:
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    quarantined = pd.DataFrame([asdict(f) for f in findings], columns=list(quality.Finding.__dataclass_fields__))
    quarantined.to_csv(folder / "findings.csv", index=False)
    about |= {"source": source.name, "label": source.label, "simulated": source.simulated}
    about["roles"] = {column: str(role) for column, role in source.columns.items()}
    write_json(folder / "quality.json", about)


def _whole(folder: Path, files: dict[str, str]) -> bool:
    return all((folder / name).is_file() and file_sha256(folder / name) == sha for name, sha in files.items())


def stage_key(*parts: Any) -> str:
    """Hash of what a stage depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def split(settings: Settings, tables: Staged | None = None) -> Staged:
    """Divide the cells into training, validation and test; known cells keep their part from night to night.

    The frozen split of a source is never overwritten: one with other settings gets a file of its own beside it.

    Raises:
        SplitError: the split cannot be made from the cells there are.
    """
    folder = tables.path if tables else settings.folder("data") / "normalized" / settings.data.source
    source = source_of(settings)
    frozen = settings.folder("splits") / f"{settings.data.source}.json"
    wanted = resolve_split(settings.split, source).model_dump(mode="json")
    before, file = _read_split(frozen), frozen
    if before is not None and before.settings != wanted:
        file = frozen.with_name(f"{frozen.stem}-{stage_key(wanted)[:8]}.json")
        before = _read_split(file)
    made = make_split(read_table(folder, "cells"), settings.split, source, before)
    unchanged = before == made
    if not unchanged:
        write_text(file, made.to_json())
    sizes = f"{len(made.train)} train / {len(made.val)} validation / {len(made.test)} test cells"
    said = "unchanged, skipped" if unchanged else "frozen"
    if file != frozen:
        said += f" in '{file.name}'; '{frozen}' has other settings and stays: delete it to replace it"
    return Staged(file, file_sha256(file), unchanged, f"split: {made.strategy}: {sizes}, {said}")


def _read_split(file: Path) -> CellSplit | None:
    return CellSplit.from_json(file.read_text()) if file.is_file() else None


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """One of the canonical tables.

    Raises:
        DataError: it is not there yet.
    """
    file = folder / f"{name}.parquet"
    if not file.is_file():
        raise DataError(f"table '{name}': no '{file}' - run the stage normalize first")
    return pd.read_parquet(file)
