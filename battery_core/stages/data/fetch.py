"""fetch -> normalize -> split: raw files of a source to checked tables to frozen lists of cells."""

from __future__ import annotations

from pathlib import Path

from battery_core.data.splits.cell_split import CellSplit
from battery_core.data.splits.make import make_split
from battery_core.data.splits.make import resolve as resolve_split
from battery_core.data.versioning.content import content_version, file_sha256
from battery_core.errors import DataError
from battery_core.files import read_json, whole_folder, write_json, write_text
from battery_core.settings import Settings
from battery_core.stages import StageResult
from battery_core.stages.common import ORIGIN_FILE, STAGE_FILE, read_table, source_of, stage_key
from battery_core.stages.data.normalize import normalize

__all__ = ["ORIGIN_FILE", "STAGE_FILE", "fetch", "normalize", "read_table", "source_of", "split", "stage_key"]


def fetch(settings: Settings) -> StageResult:
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
        return StageResult(
            folder, content_version(folder), True, f"fetch: {source.label}: origin unchanged, skipped{note}"
        )
    with whole_folder(folder) as part:
        source.fetch(part, settings.data)
        files = {str(file.relative_to(part)): file_sha256(file) for file in _files(part)}
        if not files:
            raise DataError(f"source '{source.name}': expected raw files, fetched none - check its origin")
        write_json(part / ORIGIN_FILE, {"source": source.name, "origin": origin, "files": files})
    note = f"; {len(edited)} raw file(s) edited here are replaced: {names}" if edited else ""
    return StageResult(folder, content_version(folder), False, f"fetch: {source.label}: {len(files)} files{note}")


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.name != ORIGIN_FILE)


def _edited(folder: Path, fetched: dict[str, str]) -> list[str]:
    now = {str(file.relative_to(folder)): file_sha256(file) for file in _files(folder)}
    return sorted(name for name in fetched.keys() | now.keys() if fetched.get(name) != now.get(name))


def split(settings: Settings, tables: StageResult | None = None) -> StageResult:
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
    return StageResult(file, file_sha256(file), unchanged, f"split: {made.strategy}: {sizes}, {said}")


def _read_split(file: Path) -> CellSplit | None:
    return CellSplit.from_json(file.read_text()) if file.is_file() else None
