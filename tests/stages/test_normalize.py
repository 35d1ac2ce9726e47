"""Normalising cell by cell: only what changed is read, nothing depends on the way there, damage is noticed."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from battery_core.data import cell_reading
from battery_core.data.cell_store import CellStore
from battery_core.data.quarantine import quarantine_shown
from battery_core.data.sources.charge_statistics import XJTU
from battery_core.data.versioning import file_sha256
from battery_core.errors import DataChangingError, DataError
from battery_core.files import read_json
from battery_core.settings import Settings
from battery_core.stages import Staged, data
from battery_core.stages.normalize import changes_file

Make = Callable[..., Settings]


@pytest.fixture
def settings(tmp_path: Path, write_xjtu: Callable[..., Path], xjtu_settings: Callable[..., Settings]) -> Make:
    """Settings on raw files of the test's own; changes are settings."""
    root = write_xjtu(tmp_path / "reference")
    made: Make = lambda **changes: xjtu_settings(tmp_path / "project", root, **changes)  # noqa: E731
    data.fetch(made())
    return made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the cells that were read from their raw files."""
    cells: list[str] = []
    plain = XJTU.read_cell

    def told(self: Any, raw_dir: Path, cell: Any, settings: Any) -> Any:
        cells.append(cell.cell_id)
        return plain(self, raw_dir, cell, settings)

    monkeypatch.setattr(XJTU, "read_cell", told)
    return cells


def raw(settings: Settings, cell: str) -> Path:
    return settings.folder("data") / "raw" / "xjtu" / f"{cell}.csv"


def add_checkups(file: Path, n: int = 1) -> None:
    table = pd.read_csv(file)
    more = table.iloc[[-1] * n] * 0.999
    pd.concat([table, more]).to_csv(file, index=False)


def hashes(folder: Path) -> dict[str, str]:
    return {file.name: file_sha256(file) for file in sorted(folder.iterdir())}


def packs(settings: Settings) -> list[Path]:
    return sorted((settings.folder("data") / "cells" / "xjtu").glob("*.cells"))


def age(files: list[Path], days: float = 40) -> None:
    for file in files:
        os.utime(file, (time.time() - days * 86400,) * 2)


def test_a_file_that_comes_and_goes_again_reads_only_itself(settings: Make, read: list[str]) -> None:
    first = data.normalize(settings())
    assert len(read) == 12
    read.clear()
    new = raw(settings(), "3C_battery-9")
    new.write_bytes(raw(settings(), "3C_battery-8").read_bytes().replace(b"1.", b"1.0"))
    add_checkups(raw(settings(), "2C_battery-1"), 2)
    second = data.normalize(settings())
    assert sorted(read) == ["2C_battery-1", "3C_battery-9"]
    assert second.version != first.version
    assert second.message.endswith(
        "13 cells, 158 check-ups; 2 cells read, 11 unchanged; "
        f"new since version {first.version[:12]}: 1 cell new (3C_battery-9), 1 grown by 2 check-ups (2C_battery-1)"
    )
    assert read_json(changes_file(second.path)) == {
        "version": second.version,
        "previous_version": first.version,
        "new_cells": ["3C_battery-9"],
        "gone_cells": [],
        "grown_cells": {"2C_battery-1": 2},
        "changed_cells": [],
    }
    read.clear()
    new.unlink()
    raw(settings(), "2C_battery-1").write_text(
        (settings().data.reference_root / "pinn4soh" / "XJTU data" / "2C_battery-1.csv").read_text()
    )
    third = data.normalize(settings())
    assert read == []
    assert third.version == first.version
    assert "0 cells read, 12 unchanged" in third.message
    assert read_json(changes_file(third.path))["gone_cells"] == ["3C_battery-9"]


def test_a_corrected_number_is_told_from_a_new_one(settings: Make) -> None:
    data.normalize(settings())
    table = pd.read_csv(raw(settings(), "2C_battery-2"))
    table.loc[3, "capacity"] += 0.001
    table.to_csv(raw(settings(), "2C_battery-2"), index=False)
    assert data.normalize(settings()).message.endswith("1 cell with corrected rows (2C_battery-2)")


def test_the_way_there_leaves_no_trace(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers, batches, what was kept, what was there before: the same bytes."""
    plain = data.normalize(settings(data__workers=1))
    wanted = hashes(plain.path)
    for name in ("checkups", "cells", "quarantine"):
        (plain.path / f"{name}.parquet").unlink()
    again = data.normalize(settings(data__workers=3))
    assert (hashes(again.path), again.version, again.skipped) == (wanted, plain.version, False)
    (pack,) = packs(settings())
    pack.write_bytes(pack.read_bytes()[: pack.stat().st_size // 2])
    monkeypatch.setattr(cell_reading, "_BATCH_CELLS", 2)
    (plain.path / "cells.parquet").unlink()
    mixed = data.normalize(settings(data__workers=4))
    assert re.search(r"[56] unchanged", mixed.message)  # of twelve, about half a pack
    assert hashes(mixed.path) == wanted
    assert data.normalize(settings(data__workers=2)).skipped  # the number of workers is in no key


def test_tables_hold_what_a_plain_reading_gives(settings: Make) -> None:
    tables = data.normalize(settings())
    files = raw(settings(), "x").parent.glob("*.csv")
    plain = {file.stem: pd.read_csv(file)["capacity"] for file in files}
    checkups = data.read_table(tables.path, "checkups")
    assert checkups["cell_id"].drop_duplicates().tolist() == sorted(plain)
    for cell, rows in checkups.groupby("cell_id"):
        assert rows["checkup_index"].tolist() == list(range(12))
        np.testing.assert_allclose(rows["capacity_Ah"], plain[str(cell)], rtol=1e-12)


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (lambda b: b[:-9], 1),  # the end was never written
        (lambda b: b[:200] + bytes([b[200] ^ 1]) + b[201:], 1),
        (lambda b: b[:70] + b"\xff" + b[71:], 12),  # a length: nothing behind it can be found
        (lambda b: b[:40] + bytes([b[40] ^ 1]) + b[41:], 1),  # a key
        (lambda b: b"", 12),
    ],
)
def test_a_damaged_entry_is_read_again(settings: Make, read: list[str], damage: Any, lost: int) -> None:
    first = data.normalize(settings())
    (pack,) = packs(settings())
    pack.write_bytes(damage(pack.read_bytes()))
    (first.path / "checkups.parquet").unlink()
    read.clear()
    assert data.normalize(settings()).version == first.version
    assert len(read) == lost
    (first.path / "checkups.parquet").unlink()
    read.clear()
    data.normalize(settings())
    assert read == []  # the whole entry that came later is the one that counts


def test_a_damaged_entry_is_said(settings: Make, caplog: pytest.LogCaptureFixture) -> None:
    first = data.normalize(settings())
    (pack,) = packs(settings())
    content = pack.read_bytes()
    pack.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    (first.path / "checkups.parquet").unlink()
    data.normalize(settings())
    assert "are damaged: the cell is read again" in caplog.text


def test_a_kill_while_entries_are_written_costs_only_the_half_one(
    settings: Make, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = CellStore._append

    def killed(self: Any, key: str, pieces: Any) -> None:
        if len(self._places) == 5:
            plain(self, key, [b"".join(pieces)[:300]])
            raise SystemExit(9)
        plain(self, key, pieces)

    with monkeypatch.context() as patch:
        patch.setattr(CellStore, "_append", killed)
        with pytest.raises(SystemExit):
            data.normalize(settings())
    assert len(packs(settings())) == 1
    read.clear()
    assert len(data.read_table(data.normalize(settings()).path, "cells")) == 12
    assert len(read) == 7


def test_what_no_run_uses_for_long_is_deleted(settings: Make, read: list[str]) -> None:
    data.normalize(settings())
    (first,) = packs(settings())
    age([first])
    add_checkups(raw(settings(), "2C_battery-1"))
    data.normalize(settings())
    assert time.time() - first.stat().st_mtime < 3600  # eleven cells of it are in use, however old they are
    for file in sorted(first.parents[2].glob("raw/xjtu/*.csv"))[:8]:
        add_checkups(file)
    age([first])
    data.normalize(settings())  # less than half of it is in use: that is handed on
    assert first.exists()
    data.normalize(settings(data__soh_max=1.06))
    assert not first.exists()


def test_what_is_handed_on_is_not_read_again(settings: Make, read: list[str]) -> None:
    data.normalize(settings())
    (first,) = packs(settings())
    for file in raw(settings(), "x").parent.glob("*.csv"):
        if file.stem != "2C_battery-1":
            add_checkups(file)
    tables = data.normalize(settings())
    first.unlink()
    (tables.path / "checkups.parquet").unlink()
    read.clear()
    assert data.normalize(settings()).version == tables.version
    assert read == []


def test_a_raw_file_that_changes_while_it_is_read_is_refused(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = XJTU.read_cell

    def writes(self: Any, raw_dir: Path, cell: Any, settings: Any) -> Any:
        tables = plain(self, raw_dir, cell, settings)
        if cell.cell_id == "3C_battery-2":
            add_checkups(raw_dir / cell.files[0])
        return tables

    with monkeypatch.context() as patch:
        patch.setattr(XJTU, "read_cell", writes)
        with pytest.raises(
            DataChangingError, match=r"cell '3C_battery-2': 3C_battery-2.csv changes while it is read \("
        ):
            data.normalize(settings())
    assert len(data.read_table(data.normalize(settings()).path, "checkups")) == 145


def test_even_a_change_without_a_new_date_is_noticed(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of two seconds cannot tell two writes apart; the content can."""
    plain = XJTU.read_cell
    monkeypatch.setattr(cell_reading, "_stat", lambda path: (1, 2, 10**20, 4))  # always young, never another

    def writes(self: Any, raw_dir: Path, cell: Any, settings: Any) -> Any:
        tables = plain(self, raw_dir, cell, settings)
        file = raw_dir / cell.files[0]
        file.write_bytes(file.read_bytes().replace(b"1", b"2", 1))
        return tables

    monkeypatch.setattr(XJTU, "read_cell", writes)
    with pytest.raises(DataChangingError, match="another date or content"):
        data.normalize(settings())


def test_quarantined_rows_lie_beside_the_data_with_rule_and_reason(settings: Make) -> None:
    file = raw(settings(), "2C_battery-3")
    table = pd.read_csv(file)
    table.loc[[2, 5], ["CC Q", "capacity"]] = [[np.nan, 1.9], [1.3, np.inf]]
    table.to_csv(file, index=False)
    tables = data.normalize(settings())
    out = pd.read_parquet(tables.path / "quarantine.parquet")
    assert out[["cell_id", "checkup_index", "rule"]].to_numpy().tolist() == [
        ["2C_battery-3", 2, "non_finite"], ["2C_battery-3", 5, "non_finite"],
    ]  # fmt: skip
    assert out["reason"].tolist()[0] == "cc_charge_Ah is nan: not a measured number"
    assert out["capacity_Ah"].tolist() == [1.9, np.inf]
    assert out["voltage_mean_V"].tolist() == table.loc[[2, 5], "voltage mean"].tolist()
    words, rows = quarantine_shown(tables.path, most=1)
    assert words == "2 check-ups are quarantined (non_finite 2); the first 1 are shown."
    assert rows[0]["capacity_Ah"] == "1.9"
    assert quarantine_shown(data.normalize(settings(data__source="xjtu")).path)[1][1]["capacity_Ah"] == "inf"


def test_nothing_quarantined_is_said_too(settings: Make) -> None:
    tables = data.normalize(settings())
    assert pq.read_metadata(tables.path / "quarantine.parquet").num_rows == 0
    assert quarantine_shown(tables.path) == ("Nothing is quarantined.", [])


def test_a_reader_that_loses_a_row_is_noticed_in_its_cell(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = XJTU.read_cell

    def loses(self: Any, raw_dir: Path, cell: Any, settings: Any) -> Any:
        tables = plain(self, raw_dir, cell, settings)
        return type(tables)(tables.cells, tables.checkups.iloc[:-1], rows_read=tables.rows_read)

    monkeypatch.setattr(XJTU, "read_cell", loses)
    with pytest.raises(
        DataError, match=r"cell '2C_battery-1', source 'xjtu': read 12 check-ups, kept 11 .* 1 are unacc"
    ):
        data.normalize(settings())


def test_a_reader_that_mixes_cells_up_is_noticed(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = XJTU.read_cell

    def mixes(self: Any, raw_dir: Path, cell: Any, settings: Any) -> Any:
        tables = plain(self, raw_dir, cell, settings)
        return type(tables)(tables.cells, tables.checkups.assign(cell_id="other"), rows_read=tables.rows_read)

    monkeypatch.setattr(XJTU, "read_cell", mixes)
    with pytest.raises(DataError, match=r"source 'xjtu': expected the cells 2C_battery-1, .* the reader gave also"):
        data.normalize(settings())


def test_twins_are_found_across_batches_and_runs(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_reading, "_BATCH_CELLS", 1)
    data.normalize(settings())
    raw(settings(), "3C_battery-9").write_bytes(raw(settings(), "2C_battery-1").read_bytes())
    tables: Staged = data.normalize(settings())
    findings = pd.read_csv(tables.path / "findings.csv")
    twin = findings[findings["rule"] == "twin_cell"]
    assert twin[["cell_id", "value"]].to_numpy().tolist() == [["3C_battery-9", "2C_battery-1"]]
