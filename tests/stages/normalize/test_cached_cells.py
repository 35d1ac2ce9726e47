"""Cached cells: damage is noticed, a kill costs little, unused files are deleted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from battery_core.data.ingest.cache import CellCache
from battery_core.settings import Settings
from battery_core.stages.common import read_table
from battery_core.stages.data.normalize import normalize

Make = Callable[..., Settings]


def raw(settings: Settings, cell: str) -> Path:
    return settings.folder("data") / "raw" / "xjtu" / f"{cell}.csv"


def add_checkup(file: Path) -> None:
    table = pd.read_csv(file)
    pd.concat([table, table.iloc[[-1]] * 0.999]).to_csv(file, index=False)


def cached(settings: Settings) -> list[Path]:
    return sorted((settings.folder("data") / "cells" / "xjtu").glob("*.arrow"))


def age(files: list[Path], days: float = 40) -> None:
    for file in files:
        os.utime(file, (time.time() - days * 86400,) * 2)


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-9],  # the end was never written
        lambda b: b[:200] + bytes([b[200] ^ 1]) + b[201:],
        lambda b: b[:2] + bytes([b[2] ^ 1]) + b[3:],  # the digest
        lambda b: b"",
    ],
)
def test_a_damaged_file_is_read_again(
    fetched: Make, read: list[str], damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first = normalize(fetched())
    file = cached(fetched())[5]
    file.write_bytes(damage(file.read_bytes()))
    (first.path / "checkups.parquet").unlink()
    read.clear()
    assert normalize(fetched()).version == first.version
    assert len(read) == 1
    assert "are damaged: the cell is read again" in caplog.text
    (first.path / "checkups.parquet").unlink()
    read.clear()
    normalize(fetched())
    assert read == []  # the new file is whole


def test_a_kill_while_cells_are_cached_costs_only_the_rest(
    fetched: Make, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, saved = CellCache.save, []

    def killed(self: Any, key: str, tables: Any) -> None:
        if len(saved) == 5:
            raise SystemExit(9)
        saved.append(key)
        plain(self, key, tables)

    with monkeypatch.context() as patch:
        patch.setattr(CellCache, "save", killed)
        with pytest.raises(SystemExit):
            normalize(fetched(data__workers=1))
    assert len(cached(fetched())) == 5
    read.clear()
    assert len(read_table(normalize(fetched()).path, "cells")) == 12
    assert len(read) == 7


def test_files_that_no_run_uses_for_long_are_deleted(fetched: Make, read: list[str]) -> None:
    normalize(fetched())
    first = cached(fetched())
    half_written, earlier = first[0].with_name(".x.1-2.part"), first[0].with_name("1-2.cells")
    for file in (half_written, earlier):
        file.write_bytes(b"old")
    age([*first, half_written, earlier])
    add_checkup(raw(fetched(), "2C_battery-1"))
    normalize(fetched())
    left = [file for file in first if file.exists()]
    assert len(left) == 11
    assert all(time.time() - file.stat().st_mtime < 3600 for file in left)  # used, however old they are
    assert not half_written.exists()
    assert not earlier.exists()
    normalize(fetched(data__soh_max=1.06))
    assert all(file.exists() for file in left)  # unused, but not for long
    assert len(cached(fetched())) == 24
