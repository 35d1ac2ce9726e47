"""The interface of a data source: fetch raw files from the origin, and read canonical tables cell by cell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from battery_core.base_settings import SectionSettings
from battery_core.data.tables.issues import Issue
from battery_core.data.tables.roles import CHARGE_STATISTICS as CHARGE_STATISTICS
from battery_core.data.tables.roles import Role as Role

if TYPE_CHECKING:
    from battery_core.data.settings import DataSettings
    from battery_core.data.sources.raw_text import RawText


CANONICAL_ROLES: Mapping[str, Role] = {
    "cycle_count": Role.USAGE,
    "time_days": Role.USAGE,
    "throughput_Ah": Role.USAGE,
    "capacity_Ah": Role.LABEL_EQUIVALENT,
    "resistance_ohm": Role.MEASUREMENT,
}


@dataclass(frozen=True)
class SourceTables:
    """Store the canonical tables of raw files; every row read is in ``checkups`` or in ``quarantined``.

    Args:
        cells: one row a cell; a cell with no check-up left has none, and a finding ``no_checkup``.
        checkups: one row a check-up that could be read.
        curves: time series, or None where the source has none.
        findings: what the reader flagged or quarantined; ``row`` of a quarantined one is its ``checkup_index``.
        rows_read: check-up rows in the raw files.
        quarantined: the rows taken out, with the columns of ``checkups`` as far as they could be read; None where no
            row was.
    """

    cells: pd.DataFrame
    checkups: pd.DataFrame
    curves: pd.DataFrame | None = None
    issues: list[Issue] = field(default_factory=list)
    rows_read: int = 0
    quarantined: pd.DataFrame | None = None


@dataclass(frozen=True)
class BatchTables:
    """Store the tables of several cells, concatenated in the order of the requested cells.

    Args:
        tables: the tables of all of them.
        rows_read: check-up rows in the raw files, cell by cell.
        curve_rows: rows of each cell in ``tables.curves``; None for a cell without time series.
    """

    tables: SourceTables
    rows_read: tuple[int, ...]
    curve_rows: tuple[int | None, ...]


@dataclass(frozen=True)
class CellFiles:
    """Store one cell and its raw files; the cell is read again when one of the files changes.

    Args:
        cell_id: the cell.
        files: paths below the raw folder, sorted; a file that several cells share is listed with each of them.
    """

    cell_id: str
    files: tuple[Path, ...]


def concat_tables(tables: Sequence[SourceTables]) -> SourceTables:
    """Concatenate the tables of several cells."""
    curves = [table.curves for table in tables if table.curves is not None]
    quarantined = [table.quarantined for table in tables if table.quarantined is not None]
    return SourceTables(
        cells=pd.concat([table.cells for table in tables], ignore_index=True),
        checkups=pd.concat([table.checkups for table in tables], ignore_index=True),
        curves=pd.concat(curves, ignore_index=True) if curves else None,
        issues=[finding for table in tables for finding in table.issues],
        rows_read=sum(table.rows_read for table in tables),
        quarantined=pd.concat(quarantined, ignore_index=True) if quarantined else None,
    )


class Source(ABC):
    """Define the origin of raw ageing data and the reader of their files."""

    name: ClassVar[str]
    """The setting's value, one word."""
    label: ClassVar[str]
    """Name in reports and run pages."""
    simulated: ClassVar[bool] = False
    """True where no cell was measured; every report on the data states it."""
    columns: ClassVar[Mapping[str, Role]] = {}
    """The source's own check-up columns beyond the canonical ones, each with its role."""
    default_feature_sets: ClassVar[tuple[str, ...]] = ("summary",)
    """Feature sets that suit this source, for ``features.sets = auto``, from the check-up itself."""
    text_files: ClassVar[bool] = False
    """Whether the files are texts with one header each: they are read once, then hashed and parsed as one text."""
    settings_sections: ClassVar[tuple[str, ...]] = ()
    """Sections of the data settings that reading depends on; the others keep their defaults "
    "(``settings_of_source``)."""
    default_history_sets: ClassVar[tuple[str, ...]] = ("initial_relative",)
    """Feature sets of a cell's history, added for models that do not read sequences."""
    default_split: ClassVar[Mapping[str, Any]] = {"strategy": "random"}
    """Split settings that suit this source, for ``split.strategy = auto``."""

    @abstractmethod
    def origin_key(self, settings: DataSettings) -> str:
        """Return a cheap fingerprint of the origin; the same fingerprint means the same files."""

    @abstractmethod
    def fetch(self, raw_dir: Path, settings: DataSettings) -> None:
        """Write the raw files into an empty folder.

        Raises:
            DataError: the origin is missing or has unexpected content.
        """

    @abstractmethod
    def cell_files(self, raw_dir: Path, settings: DataSettings) -> list[CellFiles]:
        """Return the cells of a raw folder by name, each with its files; only file names are read.

        Raises:
            DataError: there is no cell, or a cell occurs twice.
        """

    @abstractmethod
    def read_cell(self, raw_dir: Path, cell: CellFiles, settings: DataSettings) -> SourceTables:
        """Return the canonical tables of one cell; they depend only on its files and the settings.

        Raises:
            DataError: a file does not have the format of the source.
        """

    def read_cells(
        self, raw_dir: Path, cells: Sequence[CellFiles], settings: DataSettings, text: RawText | None = None
    ) -> BatchTables:
        """Return the tables of several cells; for many small files this is faster than one cell at a time.

        Args:
            raw_dir: the raw folder.
            cells: the cells.
            settings: the data settings.
            text: the content of all their files, where the source has ``text_files`` and it was read already.
        """
        tables = [self.read_cell(raw_dir, cell, settings) for cell in cells]
        curve_rows = tuple(None if table.curves is None else len(table.curves) for table in tables)
        return BatchTables(concat_tables(tables), tuple(table.rows_read for table in tables), curve_rows)

    def read(self, raw_dir: Path, settings: DataSettings) -> SourceTables:
        """Return the canonical tables of all cells in memory; a retraining run reads batches instead."""
        return self.read_cells(raw_dir, self.cell_files(raw_dir, settings), settings).tables

    def published_test_cells(self, cells: pd.DataFrame) -> tuple[str, ...]:
        """Return the test cells of publications on this source; empty where there is no such convention."""
        return ()

    def roles(self) -> dict[str, Role]:
        """Return the role of every check-up column, canonical ones included; roles of the source take precedence."""
        return {**CANONICAL_ROLES, **self.columns}


def settings_of_source(source: Source, settings: DataSettings) -> DataSettings:
    """Return the settings that a source depends on; sections that it does not name keep their defaults.

    Example:
        >>> from battery_core.data.registries import SOURCES
        >>> from battery_core.data.settings import DataSettings
        >>> settings_of_source(SOURCES.get("xjtu"), DataSettings(cycler={"low_rate": 0.2})).cycler.low_rate
        0.11
    """
    sections = {name: section for name, section in settings if isinstance(section, SectionSettings)}
    others = {name: type(section)() for name, section in sections.items() if name not in source.settings_sections}
    return settings.model_copy(update=others)
