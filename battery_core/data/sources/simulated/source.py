"""Source of the simulated LG M50T cells: a shipped snapshot, so that everything runs without a download."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from battery_core.data.sources.base import CellFiles, Source, SourceTables
from battery_core.data.sources.lgm50t.reader import COLUMNS, lgm50t_cells, read_lgm50t_cell
from battery_core.data.tables.roles import Role
from battery_core.data.versioning.content import file_sha256
from battery_core.errors import DataError

if TYPE_CHECKING:
    from battery_core.data.settings import DataSettings

SNAPSHOT = Path(__file__).parents[2] / "snapshots" / "lgm50t_simulated.zip"
CHEMISTRY = "NMC811 / graphite (simulated)"


class SimulatedSource(Source):
    """Read simulated ageing of LG M50T cells (PyBaMM, parameter set OKane2022), in the published layout.

    No cell was measured: see docs/simulated-data.md for the parameters and for the distance to the published ageing.
    """

    name = "simulated"
    label = "simulated LG M50T cells (PyBaMM, no cell was measured)"
    simulated = True
    columns: ClassVar[Mapping[str, Role]] = COLUMNS
    default_split: ClassVar[Mapping[str, Any]] = {
        "strategy": "random",
        "test_share": 0.25,
    }  # one cell of each condition

    def origin_key(self, settings: DataSettings) -> str:
        """Return the sha256 of the shipped snapshot."""
        return f"sha256:{file_sha256(_snapshot())}"

    def fetch(self, raw_dir: Path, settings: DataSettings) -> None:
        """Unpack the shipped snapshot."""
        with zipfile.ZipFile(_snapshot()) as packed:
            packed.extractall(raw_dir)

    def cell_files(self, raw_dir: Path, settings: DataSettings) -> list[CellFiles]:
        """Return the cells, each with its performance summary and 0.1C curves."""
        return lgm50t_cells(raw_dir, self.name)

    def read_cell(self, raw_dir: Path, cell: CellFiles, settings: DataSettings) -> SourceTables:
        """Read one cell with the reader of the published data."""
        return read_lgm50t_cell(raw_dir, cell, self.name, CHEMISTRY)


def _snapshot() -> Path:
    if not SNAPSHOT.is_file():
        raise DataError(
            f"source 'simulated': expected the shipped snapshot '{SNAPSHOT.name}' in data/snapshots; found none - "
            "install the project again or check the file out"
        )
    return SNAPSHOT
