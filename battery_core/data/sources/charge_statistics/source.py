"""Four public sets of charge statistics per cycle: XJTU, TJU, HUST and MIT, one CSV file per cell.

Tables of Wang, Zhai, Zhao, Di, Chen, Nature Communications 15, 4332 (2024), in the folder layout of their repository.
"""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from battery_core.data.sources.base import CHARGE_STATISTICS, BatchTables, CellFiles, Source, SourceTables
from battery_core.data.sources.charge_statistics.reader import read_files
from battery_core.data.sources.download import public_archive
from battery_core.data.tables.roles import Role
from battery_core.errors import DataError

if TYPE_CHECKING:
    from battery_core.data.settings import DataSettings
    from battery_core.data.sources.raw_text import RawText


class ChargeStatistics(Source):
    """Define one set: the metadata in its file names, and the constants of all its cells."""

    columns: ClassVar[Mapping[str, Role]] = dict.fromkeys(CHARGE_STATISTICS, Role.MEASUREMENT)
    default_feature_sets: ClassVar[tuple[str, ...]] = ("charge", "condition")
    default_split: ClassVar[Mapping[str, Any]] = {"strategy": "published"}
    text_files = True

    folder: ClassVar[str]
    """Folder of the set in the public layout."""
    file_pattern: ClassVar[str]
    """Path of a file below the folder; its named groups are the facts that a name states."""
    metadata: ClassVar[Mapping[str, object]] = {}
    """What holds for every cell of the set and no name states."""

    def origin_key(self, settings: DataSettings) -> str:
        """Return the digest of the folder's content; for a download the pinned commit."""
        if settings.reference_root is None:
            return f"{public_archive.COMMIT} {self.folder}"
        return public_archive.folder_digest(public_archive.find_folder(settings.reference_root, self.folder, self.name))

    def fetch(self, raw_dir: Path, settings: DataSettings) -> None:
        """Copy the set from ``data.reference_root``, or download and verify it."""
        if settings.reference_root is None:
            public_archive.download(self.folder, raw_dir, self.name)
        else:
            folder = public_archive.find_folder(settings.reference_root, self.folder, self.name)
            public_archive.copy_csv_files(folder, raw_dir)

    def cell_files(self, raw_dir: Path, settings: DataSettings) -> list[CellFiles]:
        """Return the cells by name, one CSV file each.

        Raises:
            DataError: there is no CSV file, a name cannot be parsed, or two files belong to one cell.
        """
        cells: dict[str, CellFiles] = {}
        start = len(os.path.join(raw_dir, ""))
        for path in public_archive.csv_files(raw_dir):
            name = str(path)[start:]
            cell = CellFiles(str(self.cell_of(name)["cell_id"]), (Path(name),))
            if cells.setdefault(cell.cell_id, cell) is not cell:
                raise DataError(f"source '{self.name}': two files for cell '{cell.cell_id}' - remove one")
        if not cells:
            raise DataError(
                f"source '{self.name}': no CSV file in {raw_dir}; expected one a cell, as '{self.folder}' has them - "
                "point data.reference_root at the folder above it, or leave it out to download"
            )
        return [cells[name] for name in sorted(cells)]

    def read_cell(self, raw_dir: Path, cell: CellFiles, settings: DataSettings) -> SourceTables:
        """Return one check-up per cycle; checkup_index counts rows from 0, cycle_count from 1 as in the file."""
        return self.read_cells(raw_dir, [cell], settings).tables

    def read_cells(
        self, raw_dir: Path, cells: Sequence[CellFiles], settings: DataSettings, text: RawText | None = None
    ) -> BatchTables:
        """Return the tables of several cells; one table for all of them is faster than one per cell."""
        files = [file for cell in cells for file in cell.files]
        return read_files([raw_dir / file for file in files], [self.cell_of(file.as_posix()) for file in files], text)

    def cell_of(self, path: str) -> dict[str, object]:
        """Return a row of the cells table from a file's path below the set's folder.

        Raises:
            DataError: the name does not follow the set's pattern.
        """
        match = re.fullmatch(self.file_pattern, path)
        if match is None:
            raise DataError(
                f"source '{self.name}': file name '{path}' does not follow the pattern {self.file_pattern} - rename or "
                "remove the file"
            )
        stem = os.path.splitext(os.path.basename(path))[0]
        blank = {"ambient_temperature_degC": float("nan"), "protocol": "", "group": self.name.upper()}
        row = {**blank, **self.metadata, **self.metadata_from_name(match.groupdict(), stem)}
        return {"source": self.name, "cell_id": stem, **row}

    @abstractmethod
    def metadata_from_name(self, named: Mapping[str, str], stem: str) -> dict[str, object]:
        """Return the entries of the cells table that the file name states."""


class XJTU(ChargeStatistics):
    """Define the XJTU set: 55 NCM 18650 cells in six groups of protocols, at ambient temperature without control."""

    name = "xjtu"
    label = "XJTU charge statistics (55 NCM cells, measured)"
    default_history_sets = ("recent_change", "early_deviation", "expanding_mean")
    folder = "XJTU data"
    file_pattern = r"(?P<group>.+)_battery-\d+\.csv"
    metadata: ClassVar[Mapping[str, object]] = {"chemistry": "NCM", "nominal_capacity_Ah": 2.0}

    def metadata_from_name(self, named: Mapping[str, str], stem: str) -> dict[str, object]:
        """Return group and protocol from the prefix: 2C, 3C, R2.5, R3, RW, Sim_satellite."""
        return {"group": named["group"], "protocol": named["group"]}

    def published_test_cells(self, cells: pd.DataFrame) -> tuple[str, ...]:
        """Return every file name with a 4 or an 8 in it."""
        return tuple(sorted(c for c in cells["cell_id"] if "4" in c or "8" in c))


class TJU(ChargeStatistics):
    """Define the TJU set: 130 cells (NCA, NCM and a mix of both) at 25, 35 and 45 degC (Zhu et al. 2022)."""

    name = "tju"
    label = "TJU charge statistics (130 NCA, NCM and NCM+NCA cells, measured)"
    default_history_sets = ("early_deviation", "expanding_mean")
    folder = "TJU data"
    file_pattern = (
        r"Dataset_\d+_(?P<group>.+)_battery/CY(?P<temperature>\d+)-(?P<charge>\d+)_(?P<discharge>\d+)-#\d+\.csv"
    )
    nominal_Ah: ClassVar[Mapping[str, float]] = {"NCA": 3.5, "NCM": 3.5, "NCM+NCA": 2.5}

    def metadata_from_name(self, named: Mapping[str, str], stem: str) -> dict[str, object]:
        """Return chemistry from the folder, and conditions from the name: CY25-05_1 is 25 degC, 0.5 C, 1 C."""
        chemistry = named["group"].replace("_", "+")
        if chemistry not in self.nominal_Ah:
            raise DataError(
                f"source 'tju': unknown chemistry '{chemistry}' of file '{stem}'; known: {', '.join(self.nominal_Ah)} "
                "- name the folder Dataset_<number>_<chemistry>_battery"
            )
        return {
            "cell_id": f"{chemistry}_{stem}",  # file names repeat between the folders
            "group": chemistry,
            "chemistry": chemistry,
            "nominal_capacity_Ah": self.nominal_Ah[chemistry],
            "ambient_temperature_degC": float(named["temperature"]),
            "protocol": f"{_rate(named['charge'])} charge, {_rate(named['discharge'])} discharge",
        }

    def published_test_cells(self, cells: pd.DataFrame) -> tuple[str, ...]:
        """Return every fifth cell of each folder in name order; the published choice depends on a directory order."""
        return tuple(c for _, ids in cells.groupby("group")["cell_id"] for c in sorted(ids)[4::5])


class HUST(ChargeStatistics):
    """Define the HUST set: 77 LFP cells at 30 degC, one charge policy, 77 discharge policies (Ma et al. 2022)."""

    name = "hust"
    label = "HUST charge statistics (77 LFP cells, measured)"
    default_history_sets = ("recent_change", "expanding_mean")
    folder = "HUST data"
    file_pattern = r"(?P<number>\d+-\d+)\.csv"
    metadata: ClassVar[Mapping[str, object]] = {
        "chemistry": "LFP",
        "nominal_capacity_Ah": 1.1,
        "ambient_temperature_degC": 30.0,
    }
    test_cells: ClassVar[str] = (
        "1-4 1-8 2-4 2-8 3-4 3-8 4-4 4-8 5-4 5-7 6-4 6-8 7-4 7-8 8-4 8-8 9-4 9-8 10-4 10-8"  # as published
    )

    def metadata_from_name(self, named: Mapping[str, str], stem: str) -> dict[str, object]:
        """Return the discharge policy from the number."""
        return {"protocol": f"discharge policy {named['number']}"}

    def published_test_cells(self, cells: pd.DataFrame) -> tuple[str, ...]:
        """Return the published list."""
        known = set(cells["cell_id"])
        return tuple(c for c in self.test_cells.split() if c in known)


class MIT(ChargeStatistics):
    """Define the MIT set: 125 LFP cells at 30 degC, many fast-charge policies (Severson et al. 2019)."""

    name = "mit"
    label = "MIT charge statistics (125 LFP cells, measured)"
    # CC Q nearly is the label here: capacity - 0.88 Ah, since the charge statistics begin at 80 % of the nominal charge
    columns: ClassVar[Mapping[str, Role]] = {**ChargeStatistics.columns, "cc_charge_Ah": Role.LABEL_EQUIVALENT}
    folder = "MIT data"
    file_pattern = r"(?P<group>\d{4}-\d\d-\d\d)/.*battery-\d+\.csv"
    metadata: ClassVar[Mapping[str, object]] = {
        "chemistry": "LFP",
        "nominal_capacity_Ah": 1.1,
        "ambient_temperature_degC": 30.0,
    }

    def metadata_from_name(self, named: Mapping[str, str], stem: str) -> dict[str, object]:
        """Return the date of the batch from the folder."""
        return {"group": named["group"], "protocol": "fast charge, 4C discharge"}

    def published_test_cells(self, cells: pd.DataFrame) -> tuple[str, ...]:
        """Return every cell whose running number is divisible by 5."""
        return tuple(sorted(c for c in cells["cell_id"] if int(c.rsplit("-", 1)[-1]) % 5 == 0))


def _rate(digits: str) -> str:
    """Return a C-rate from its spelling in a TJU file name.

    Example:
        >>> _rate("025"), _rate("05"), _rate("2")
        ('0.25C', '0.5C', '2C')
    """
    return f"{digits[0]}.{digits[1:]}C" if digits.startswith("0") and len(digits) > 1 else f"{digits}C"
