"""Source for your own cycler data: a growing folder of exports, one sub-folder or file pattern per cell."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from battery_core.data.extraction.measuring import ROLES
from battery_core.data.sources.base import CellFiles, Source, SourceTables
from battery_core.data.sources.cycler_folder.cells import (
    CellMetadata,
    cells_table,
    checked_folder,
    folder_cells,
    natural,
)
from battery_core.data.sources.cycler_folder.tables import read_tables
from battery_core.data.tables.roles import Role
from battery_core.errors import DataChangingError, DataError
from battery_core.files import read_json, write_json

if TYPE_CHECKING:
    from battery_core.data.settings import DataSettings

METADATA_FILE = "cell.json"
_TRIES = 3


class CyclerFolder(Source):
    """Read your own cycler exports, laid out as docs/your-own-data.md describes.

    The raw folder has one sub-folder per cell: ``cell.json`` with its row of the cells table, and a copy of its files.
    A new file, or a new row in the table, therefore changes no other cell.
    """

    name = "cycler_folder"
    label = "own cycler data"
    settings_sections = ("cycler", "extraction")
    columns: ClassVar[Mapping[str, Role]] = {"temperature_degC": Role.USAGE, **ROLES}
    default_feature_sets = ("summary", "charge")
    default_split: ClassVar[Mapping[str, Any]] = {"strategy": "random"}

    def origin_key(self, settings: DataSettings) -> str:
        """Return the digest of names, sizes and dates of the cells' files, and of the table of cells.

        An edit that keeps a file's size and date to the nanosecond is not detected.
        """
        folder = checked_folder(settings.cycler)
        digest = hashlib.sha256((folder / cells_table(folder)).read_bytes())
        for cell in folder_cells(settings.cycler):
            digest.update(json.dumps(cell.metadata.as_dict()).encode())
            for file in cell.files:
                state = file.stat()
                digest.update(f"{file.relative_to(folder)} {state.st_size} {state.st_mtime_ns}\n".encode())
        return f"{digest.hexdigest()}"

    def fetch(self, raw_dir: Path, settings: DataSettings) -> None:
        """Copy new and changed files; unchanged files of the last fetch are linked.

        Raises:
            DataError: the folder or its table of cells is not as it should be.
            DataChangingError: a file is being written right now.
        """
        folder, standing = checked_folder(settings.cycler), raw_dir.parent / self.name
        for cell in folder_cells(settings.cycler):
            write_json(raw_dir / cell.metadata.cell_id / METADATA_FILE, cell.metadata.as_dict())
            for file in cell.files:
                name = Path(cell.metadata.cell_id, "files", file.relative_to(folder))
                _bring(file, raw_dir / name, standing / name)

    def cell_files(self, raw_dir: Path, settings: DataSettings) -> list[CellFiles]:
        """Return the cells and their files, one sub-folder each."""
        folders = [metadata.parent for metadata in raw_dir.glob(f"*/{METADATA_FILE}")]
        files = {folder.name: sorted(file for file in folder.rglob("*") if file.is_file()) for folder in folders}
        cells = [
            CellFiles(cell, tuple(file.relative_to(raw_dir) for file in files_of_cell))
            for cell, files_of_cell in files.items()
        ]
        if not cells:
            raise DataError(f"source '{self.name}': no cell in '{raw_dir}' - run the stage fetch first")
        return sorted(cells, key=lambda cell: cell.cell_id)

    def read_cell(self, raw_dir: Path, cell: CellFiles, settings: DataSettings) -> SourceTables:
        """Join the files of a cell in time order, find its check-ups, and extract numbers from the curves."""
        metadata = read_json(raw_dir / cell.cell_id / METADATA_FILE)
        if metadata is None:
            raise DataError(f"cell '{cell.cell_id}': no whole {METADATA_FILE} in its raw folder - fetch again")
        files = [raw_dir / file for file in cell.files if file.name != METADATA_FILE or len(file.parts) > 2]
        return read_tables(CellMetadata(**metadata), sorted(files, key=lambda file: natural(file.as_posix())), settings)


def _bring(file: Path, target: Path, standing: Path) -> None:
    """Copy a file with its date, or link the existing copy; retry when the file changes meanwhile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if standing.is_file() and _size_and_date(standing) == _size_and_date(file):
        try:
            os.link(standing, target)
        except OSError:  # a file system without hard links
            shutil.copy2(standing, target)
        return
    for _ in range(_TRIES):
        before = _size_and_date(file)
        try:
            shutil.copy2(file, target)
        except PermissionError as err:
            if err.filename != str(file):
                raise  # the raw folder, not the cycler's
            raise DataError(f"file '{file}': no permission to read it - let this user read it") from err
        if before == _size_and_date(file) == _size_and_date(target):
            return
    raise DataChangingError(f"file '{file}': it changes while it is copied - run again when the cycler has written it")


def _size_and_date(file: Path) -> tuple[int, int]:
    state = file.stat()
    return state.st_size, state.st_mtime_ns
