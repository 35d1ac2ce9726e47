"""Fetch the raw files of a source and record their origin."""

from __future__ import annotations

from pathlib import Path

from battery_core.artifacts import StageResult
from battery_core.data.versioning.content import content_version, file_sha256
from battery_core.errors import DataError
from battery_core.files import read_json, whole_folder, write_json
from battery_core.settings import Settings
from battery_core.stages.common import ORIGIN_FILE, source_of


def fetch(settings: Settings) -> StageResult:
    """Fetch the raw files of the source; skip the download while the origin is unchanged.

    An edited raw file (a corrected reading, say) then stays and makes a new data version. A changed origin replaces
    edited files, and the message names them.

    Raises:
        DataError: the origin cannot be read.
    """
    source, folder = source_of(settings), settings.folder("data") / "raw" / settings.data.source
    origin = source.origin_key(settings.data)
    record = read_json(folder / ORIGIN_FILE)
    edited = _edited(folder, record["files"]) if record is not None else []
    names = ", ".join(edited[:3])
    if record is not None and record["origin"] == origin:
        note = f"; {len(edited)} raw file(s) differ from what was fetched: {names}" if edited else ""
        return StageResult(
            folder, content_version(folder), True, f"fetch: {source.label}: origin unchanged, skipped{note}"
        )
    with whole_folder(folder) as tmp:
        source.fetch(tmp, settings.data)
        files = {str(file.relative_to(tmp)): file_sha256(file) for file in _files(tmp)}
        if not files:
            raise DataError(f"source '{source.name}': expected raw files, fetched none - check its origin")
        write_json(tmp / ORIGIN_FILE, {"source": source.name, "origin": origin, "files": files})
    note = f"; {len(edited)} raw file(s) edited here are replaced: {names}" if edited else ""
    return StageResult(folder, content_version(folder), False, f"fetch: {source.label}: {len(files)} files{note}")


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.name != ORIGIN_FILE)


def _edited(folder: Path, fetched: dict[str, str]) -> list[str]:
    now = {str(file.relative_to(folder)): file_sha256(file) for file in _files(folder)}
    return sorted(name for name in fetched.keys() | now.keys() if fetched.get(name) != now.get(name))
