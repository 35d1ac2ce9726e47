"""Source of raw cycler records of the NASA Prognostics Center of Excellence: 18650 cells at 4, 24 and 43 degC."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from battery_core.data.extraction.measuring import ROLES
from battery_core.data.sources.base import CellFiles, Source, SourceTables
from battery_core.data.sources.nasa_pcoe.mat_file import read_records
from battery_core.data.sources.nasa_pcoe.tables import cell_tables
from battery_core.data.tables.roles import Role
from battery_core.data.versioning.content import file_sha256
from battery_core.errors import DataError

if TYPE_CHECKING:
    from battery_core.data.settings import DataSettings

FOLDER = "nasa_pcoe"
_FILE = re.compile(r"B\d{4}\.mat")
_OWN_COLUMNS: Mapping[str, Role] = {
    "temperature_mean_degC": Role.USAGE,
    "temperature_max_degC": Role.USAGE,
    "impedance_re_ohm": Role.MEASUREMENT,
    "impedance_rct_ohm": Role.MEASUREMENT,
    "impedance_temperature_degC": Role.USAGE,
    "reintegrated_capacity_Ah": Role.LABEL_EQUIVALENT,
}


class NasaPcoe(Source):
    """Read NASA cells: each discharge is a check-up, measured from the charge before it and the discharge start.

    Reference: Saha and Goebel 2007, Battery Data Set, NASA Ames Prognostics Data Repository.
    """

    name = "nasa_pcoe"
    label = "NASA PCoE 18650 cells at 4, 24 and 43 degC (measured, raw records)"
    settings_sections = ("extraction",)
    columns: ClassVar[Mapping[str, Role]] = {**_OWN_COLUMNS, **ROLES}
    default_feature_sets = ("charge", "resistance", "ica")
    # cells of one temperature went through the same plan side by side: only another temperature is a new condition
    default_split: ClassVar[Mapping[str, Any]] = {"strategy": "temperature", "test_temps_degC": (43.0,)}

    def origin_key(self, settings: DataSettings) -> str:
        """Return the digest of the files on disk."""
        digest = hashlib.sha256()
        for path in _mat_files(_folder(settings.reference_root)):
            digest.update(f"{file_sha256(path)}  {path.name}\n".encode())
        return digest.hexdigest()

    def fetch(self, raw_dir: Path, settings: DataSettings) -> None:
        """Copy the MAT files from ``data.reference_root``."""
        for path in _mat_files(_folder(settings.reference_root)):
            shutil.copyfile(path, raw_dir / path.name)

    def cell_files(self, raw_dir: Path, settings: DataSettings) -> list[CellFiles]:
        """Return the cells by name, one MAT file each."""
        return [CellFiles(path.stem, (path.relative_to(raw_dir),)) for path in _mat_files(raw_dir)]

    def read_cell(self, raw_dir: Path, cell: CellFiles, settings: DataSettings) -> SourceTables:
        """Return one check-up per discharge; its index is the number of discharges before it."""
        (file,) = cell.files
        return cell_tables(cell.cell_id, read_records(raw_dir / file, cell.cell_id), settings.extraction)


def _folder(root: Path | None) -> Path:
    if root is None:
        raise DataError(
            "source 'nasa_pcoe' is read from files on disk: get the Li-ion battery data set of the NASA Prognostics "
            f"Center of Excellence (its Data Set Repository), put B0025.mat, B0026.mat, ... into a folder '{FOLDER}' "
            "and set data.reference_root to the folder above it"
        )
    return root.expanduser() / FOLDER


def _mat_files(folder: Path) -> list[Path]:
    """Return the cells' files in name order.

    Raises:
        DataError: there is none, or one is not named after a cell.
    """
    files = sorted(folder.glob("*.mat")) if folder.is_dir() else []
    if not files:
        raise DataError(
            f"source 'nasa_pcoe': no .mat file in '{folder}'; expected one a cell, as B0025.mat - point "
            f"data.reference_root at the folder that holds '{FOLDER}/'"
        )
    if misnamed := [path.name for path in files if not _FILE.fullmatch(path.name)]:
        raise DataError(f"source 'nasa_pcoe': '{misnamed[0]}' is not named B and four digits, as B0025.mat - rename it")
    return files
