"""Source of the published LG M50T ageing data: 40 cells of five experiments at 10, 25 and 40 degC."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from battery_core.data.sources.base import CellFiles, Source, SourceTables
from battery_core.data.sources.download.remote_ranges import PATIENT, Patience
from battery_core.data.sources.lgm50t import origin as lgm50t_origin
from battery_core.data.sources.lgm50t.reader import COLUMNS, lgm50t_cells, read_lgm50t_cell
from battery_core.data.tables.roles import Role

if TYPE_CHECKING:
    from battery_core.data.settings import DataSettings


class LGM50TSource(Source):
    """Read 40 LG M50T cells of Imperial College London: summaries and C/10 curves of every check-up.

    Reference: Kirkaldy, Samieian, Offer, Marinescu, Patel 2024, J. Power Sources 603, 234185; Zenodo record 10637534.

    Args:
        patience: how long a busy server is borne with.
    """

    name = "lgm50t"
    label = "LG M50T cells of five ageing experiments (40 cells, measured)"
    columns: ClassVar[Mapping[str, Role]] = COLUMNS
    # one test cell of each of the 15 conditions (experiment and temperature), which all have a training cell too. No
    # temperature is held out: on full cycles 25 degC ages least, so a model trained on 10 and 40 degC has an error of
    # 3 to 7 points there, which depends on the test plan more than on the model
    default_split: ClassVar[Mapping[str, Any]] = {"strategy": "random", "test_share": 0.375}

    def __init__(self, patience: Patience = PATIENT) -> None:
        self._patience = patience

    def origin_key(self, settings: DataSettings) -> str:
        """Return the digest of the needed files on disk; for a download that of the address and the archives."""
        if settings.reference_root is not None:
            return lgm50t_origin.local_key(settings.reference_root)
        archives = " ".join(lgm50t_origin.ARCHIVES.values())
        return hashlib.sha256(f"{settings.zenodo_url} {archives}".encode()).hexdigest()

    def fetch(self, raw_dir: Path, settings: DataSettings) -> None:
        """Copy from ``data.reference_root``, or fetch the needed files from the published archives."""
        if settings.reference_root is not None:
            lgm50t_origin.copy_local(settings.reference_root, raw_dir)
        else:
            lgm50t_origin.fetch_remote(raw_dir, settings, self._patience)

    def cell_files(self, raw_dir: Path, settings: DataSettings) -> list[CellFiles]:
        """Return the cells, each with its performance summary, set and cycle summaries and 0.1C curves."""
        return lgm50t_cells(raw_dir, self.name)

    def read_cell(self, raw_dir: Path, cell: CellFiles, settings: DataSettings) -> SourceTables:
        """Return one row per check-up (RPT); its index is the number of ageing sets before it."""
        return read_lgm50t_cell(raw_dir, cell, self.name)
