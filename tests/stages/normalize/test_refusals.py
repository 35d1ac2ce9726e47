"""Normalising stops in one line where a raw file changes meanwhile or a reader gives what it was not asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from battery_core.data.ingest import fingerprint
from battery_core.data.sources.base import BatchTables
from battery_core.data.sources.charge_statistics.source import XJTU
from battery_core.data.tables.issues import Issue
from battery_core.errors import DataChangingError, DataError
from battery_core.settings import Settings
from battery_core.stages.common import read_table
from battery_core.stages.data.normalize import normalize

Make = Callable[..., Settings]
Change = Callable[[BatchTables], BatchTables]


@pytest.fixture
def after_reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path, BatchTables], BatchTables]], None]:
    """Something happens when cells were read: to the raw folder, or to their tables."""
    plain = XJTU.read_cells

    def patch(happens: Callable[[Path, BatchTables], BatchTables]) -> None:
        def read(self: Any, raw_dir: Path, cells: Any, *rest: Any) -> BatchTables:
            return happens(raw_dir, plain(self, raw_dir, cells, *rest))

        monkeypatch.setattr(XJTU, "read_cells", read)

    return patch


def edit(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"1", b"2", 1))


def test_a_raw_file_that_changes_while_it_is_read_is_refused(fetched: Make, after_reading: Any) -> None:
    def writes(raw_dir: Path, batch: BatchTables) -> BatchTables:
        edit(raw_dir / "3C_battery-2.csv")
        return batch

    after_reading(writes)
    with pytest.raises(DataChangingError, match=r"cell '3C_battery-2': 3C_battery-2.csv changes while it is read \("):
        normalize(fetched())
    after_reading(lambda raw_dir, batch: batch)
    assert len(read_table(normalize(fetched()).path, "cells")) == 12  # and the next run takes it


def test_even_a_change_without_a_new_date_is_noticed(
    fetched: Make, after_reading: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock of two seconds cannot tell two writes apart; the content can."""
    monkeypatch.setattr(fingerprint, "_stat", lambda path: (1, 2, 10**20, 4))  # always young, never another

    def writes(raw_dir: Path, batch: BatchTables) -> BatchTables:
        edit(raw_dir / "2C_battery-1.csv")
        return batch

    after_reading(writes)
    with pytest.raises(DataChangingError, match="another date or content"):
        normalize(fetched())


def loses(batch: BatchTables) -> BatchTables:
    return replace(batch, tables=replace(batch.tables, checkups=batch.tables.checkups.drop(index=11)))


def renames(batch: BatchTables) -> BatchTables:
    return replace(batch, tables=replace(batch.tables, checkups=batch.tables.checkups.assign(cell_id="other")))


def swaps(batch: BatchTables) -> BatchTables:
    checkups = batch.tables.checkups
    names = {"2C_battery-1": "2C_battery-2", "2C_battery-2": "2C_battery-1"}
    return replace(
        batch, tables=replace(batch.tables, checkups=checkups.assign(cell_id=checkups["cell_id"].replace(names)))
    )


def interleaves(batch: BatchTables) -> BatchTables:
    whole = batch.tables
    return replace(batch, tables=replace(whole, checkups=whole.checkups.sort_values("checkup_index", kind="stable")))


def leaves_out(batch: BatchTables) -> BatchTables:
    return replace(batch, tables=replace(batch.tables, cells=batch.tables.cells.iloc[1:]))


def finds_in_another(batch: BatchTables) -> BatchTables:
    finding = Issue("other", 0, "non_finite", "capacity_Ah", "nan", "flagged", "no number")
    return replace(batch, tables=replace(batch.tables, issues=[finding]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (loses, r"cell '2C_battery-1', source 'xjtu': read 12 check-ups, kept 11 .* 1 are unacc"),
        (renames, r"source 'xjtu': expected the cells 2C_battery-1, .* the reader gave also, or not, 2C_battery-1"),
        (swaps, r"the reader gave also, or not, a cell's rows under another - mend its reader"),
        (interleaves, r"the reader gave also, or not, a cell's rows under another - mend its reader"),
        (leaves_out, r"the reader gave also, or not, 2C_battery-1 - mend its reader"),
        (finds_in_another, r"the reader gave also, or not, other - mend its reader"),
    ],
)
def test_a_reader_that_mixes_cells_up_or_loses_a_row_is_noticed(
    fetched: Make, after_reading: Any, change: Change, message: str
) -> None:
    after_reading(lambda raw_dir, batch: change(batch))
    with pytest.raises(DataError, match=message):
        normalize(fetched())
