"""Cells that are kept from run to run: damage is noticed, a kill costs little, what is not used goes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from battery_core.data.ingest.cache import CellStore
from battery_core.settings import Settings
from battery_core.stages.common import read_table
from battery_core.stages.data.normalize import normalize

Make = Callable[..., Settings]


def raw(settings: Settings, cell: str) -> Path:
    return settings.folder("data") / "raw" / "xjtu" / f"{cell}.csv"


def add_checkup(file: Path) -> None:
    table = pd.read_csv(file)
    pd.concat([table, table.iloc[[-1]] * 0.999]).to_csv(file, index=False)


def packs(settings: Settings) -> list[Path]:
    return sorted((settings.folder("data") / "cells" / "xjtu").glob("*.cells"))


def age(files: list[Path], days: float = 40) -> None:
    for file in files:
        os.utime(file, (time.time() - days * 86400,) * 2)


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
def test_a_damaged_entry_is_read_again(fetched: Make, read: list[str], damage: Any, lost: int) -> None:
    first = normalize(fetched())
    (pack,) = packs(fetched())
    pack.write_bytes(damage(pack.read_bytes()))
    (first.path / "checkups.parquet").unlink()
    read.clear()
    assert normalize(fetched()).version == first.version
    assert len(read) == lost
    (first.path / "checkups.parquet").unlink()
    read.clear()
    normalize(fetched())
    assert read == []  # the whole entry that came later is the one that counts


def test_a_damaged_entry_is_said(fetched: Make, caplog: pytest.LogCaptureFixture) -> None:
    first = normalize(fetched())
    (pack,) = packs(fetched())
    content = pack.read_bytes()
    pack.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    (first.path / "checkups.parquet").unlink()
    normalize(fetched())
    assert "are damaged: the cell is read again" in caplog.text


def test_a_kill_while_entries_are_written_costs_only_the_half_one(
    fetched: Make, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = CellStore._append

    def killed(self: Any, entries: Any) -> None:
        written = dict(list(entries.items())[:5])
        (sixth, pieces), *_ = list(entries.items())[5:]
        plain(self, written | {sixth: [b"".join(pieces)[:300]]})
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(CellStore, "_append", killed)
        with pytest.raises(SystemExit):
            normalize(fetched())
    assert len(packs(fetched())) == 1
    read.clear()
    assert len(read_table(normalize(fetched()).path, "cells")) == 12
    assert len(read) == 7


def test_what_no_run_uses_for_long_is_deleted(fetched: Make, read: list[str]) -> None:
    normalize(fetched())
    (first,) = packs(fetched())
    age([first])
    add_checkup(raw(fetched(), "2C_battery-1"))
    normalize(fetched())
    assert time.time() - first.stat().st_mtime < 3600  # eleven cells of it are in use, however old they are
    for file in sorted(first.parents[2].glob("raw/xjtu/*.csv"))[:8]:
        add_checkup(file)
    age([first])
    normalize(fetched())  # less than half of it is in use: that is handed on
    assert first.exists()
    normalize(fetched(data__soh_max=1.06))
    assert not first.exists()


def test_what_is_handed_on_is_not_read_again(fetched: Make, read: list[str]) -> None:
    normalize(fetched())
    (first,) = packs(fetched())
    for file in raw(fetched(), "x").parent.glob("*.csv"):
        if file.stem != "2C_battery-1":
            add_checkup(file)
    tables = normalize(fetched())
    first.unlink()
    (tables.path / "checkups.parquet").unlink()
    read.clear()
    assert normalize(fetched()).version == tables.version
    assert read == []


def test_files_of_an_earlier_layout_are_deleted(fetched: Make) -> None:
    place = fetched().folder("data") / "cells" / "xjtu"
    for name in ("3f/3f09.cell", "a1/a1ff.cell", "a1/notes.txt"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"old")
    normalize(fetched())
    assert [file.name for file in place.rglob("*") if file.suffix in ("", ".cell", ".txt")] == ["a1", "notes.txt"]
    assert len(packs(fetched())) == 1
