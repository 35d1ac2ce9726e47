"""Normalising cell by cell: only what changed is read, nothing depends on the way there, nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from battery_core.artifacts import StageResult
from battery_core.data.ingest import fingerprint, loader
from battery_core.data.ingest.cache import CellCache
from battery_core.data.ingest.loader import IncrementalLoader
from battery_core.data.quality.quarantine import quarantine_shown
from battery_core.data.settings import DataSettings
from battery_core.data.sources import raw_text
from battery_core.data.sources.base import CellFiles
from battery_core.data.sources.charge_statistics.source import XJTU
from battery_core.data.versioning.content import file_sha256
from battery_core.files import read_json
from battery_core.settings import Settings
from battery_core.stages.common import read_table
from battery_core.stages.data.normalize import changes_file, normalize

Make = Callable[..., Settings]


def raw(settings: Settings, cell: str) -> Path:
    return settings.folder("data") / "raw" / "xjtu" / f"{cell}.csv"


def add_checkups(file: Path, n: int = 1) -> None:
    table = pd.read_csv(file)
    more = table.iloc[[-1] * n] * 0.999
    pd.concat([table, more]).to_csv(file, index=False)


def hashes(folder: Path) -> dict[str, str]:
    return {file.name: file_sha256(file) for file in sorted(folder.iterdir())}


def cached(settings: Settings) -> list[Path]:
    return sorted((settings.folder("data") / "cells" / "xjtu").glob("*.arrow"))


def test_a_file_that_comes_and_goes_again_reads_only_itself(fetched: Make, read: list[str]) -> None:
    first = normalize(fetched())
    assert len(read) == 12
    read.clear()
    new = raw(fetched(), "3C_battery-9")
    new.write_bytes(raw(fetched(), "3C_battery-8").read_bytes().replace(b"1.", b"1.0"))
    add_checkups(raw(fetched(), "2C_battery-1"), 2)
    second = normalize(fetched())
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
    raw(fetched(), "2C_battery-1").write_text(
        (fetched().data.reference_root / "pinn4soh" / "XJTU data" / "2C_battery-1.csv").read_text()
    )
    third = normalize(fetched())
    assert read == []
    assert third.version == first.version
    assert "0 cells read, 12 unchanged" in third.message
    assert read_json(changes_file(third.path))["gone_cells"] == ["3C_battery-9"]


def test_a_corrected_number_is_told_from_a_new_one(fetched: Make) -> None:
    normalize(fetched())
    table = pd.read_csv(raw(fetched(), "2C_battery-2"))
    table.loc[3, "capacity"] += 0.001
    table.to_csv(raw(fetched(), "2C_battery-2"), index=False)
    assert normalize(fetched()).message.endswith("1 cell with corrected rows (2C_battery-2)")


def test_the_way_there_leaves_no_trace(fetched: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers, batches, cached tables, earlier tables: the same bytes."""
    plain = normalize(fetched(data__workers=1))
    wanted = hashes(plain.path)
    for name in ("checkups", "cells", "quarantine"):
        (plain.path / f"{name}.parquet").unlink()
    again = normalize(fetched(data__workers=3))
    assert (hashes(again.path), again.version, again.skipped) == (wanted, plain.version, False)
    for file in cached(fetched())[:6]:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    monkeypatch.setattr(loader, "_BATCH_CELLS", 2)
    (plain.path / "cells.parquet").unlink()
    mixed = normalize(fetched(data__workers=4))
    assert "6 cells read, 6 unchanged" in mixed.message
    assert hashes(mixed.path) == wanted
    assert normalize(fetched(data__workers=2)).skipped  # the number of workers is in no key


def test_tables_hold_what_a_plain_reading_gives(fetched: Make) -> None:
    tables = normalize(fetched())
    files = raw(fetched(), "x").parent.glob("*.csv")
    plain = {file.stem: pd.read_csv(file)["capacity"] for file in files}
    checkups = read_table(tables.path, "checkups")
    assert checkups["cell_id"].drop_duplicates().tolist() == sorted(plain)
    for cell, rows in checkups.groupby("cell_id"):
        assert rows["checkup_index"].tolist() == list(range(12))
        np.testing.assert_allclose(rows["capacity_Ah"], plain[str(cell)], rtol=1e-12)


def test_quarantined_rows_lie_beside_the_data_with_rule_and_reason(fetched: Make) -> None:
    file = raw(fetched(), "2C_battery-3")
    table = pd.read_csv(file)
    table.loc[[2, 5], ["CC Q", "capacity"]] = [[np.nan, 1.9], [1.3, np.inf]]
    table.to_csv(file, index=False)
    tables = normalize(fetched())
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
    assert quarantine_shown(normalize(fetched(data__source="xjtu")).path)[1][1]["capacity_Ah"] == "inf"


def test_nothing_quarantined_is_said_too(fetched: Make) -> None:
    tables = normalize(fetched())
    assert pq.read_metadata(tables.path / "quarantine.parquet").num_rows == 0
    assert quarantine_shown(tables.path) == ("Nothing is quarantined.", [])


def test_twins_are_found_across_batches_and_runs(fetched: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "_BATCH_CELLS", 1)
    normalize(fetched())
    raw(fetched(), "3C_battery-9").write_bytes(raw(fetched(), "2C_battery-1").read_bytes())
    tables: StageResult = normalize(fetched())
    issues = pd.read_csv(tables.path / "issues.csv")
    twin = issues[issues["rule"] == "twin_cell"]
    assert twin[["cell_id", "value"]].to_numpy().tolist() == [["3C_battery-9", "2C_battery-1"]]


def test_settings_of_other_sources_read_nothing_again(fetched: Make, read: list[str]) -> None:
    first = normalize(fetched())
    read.clear()
    other = fetched(data__cycler__low_rate=0.2, data__extraction__window_V=0.25)
    assert normalize(other).skipped
    (first.path / "checkups.parquet").unlink()
    assert normalize(other).version == first.version
    assert read == []
    normalize(fetched(data__soh_max=1.06))
    assert len(read) == 12  # a setting of its own does


def test_a_raw_file_is_read_once_to_be_hashed_and_parsed(fetched: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    plain = raw_text._read

    def told(path: str, *rest: Any) -> bytes:
        opened.append(Path(path).stem)
        return plain(path, *rest)

    monkeypatch.setattr(raw_text, "_read", told)
    monkeypatch.setattr(fingerprint, "file_sha256", lambda path: pytest.fail(f"{path} is read again"))
    monkeypatch.setattr(fingerprint, "_CLOCK_S", -1.0)  # no file is so young that it must be looked at again
    tables = normalize(fetched())
    assert sorted(opened) == read_table(tables.path, "cells")["cell_id"].tolist()


def test_batches_are_alike_for_all_workers_and_leave_out_no_cell(tmp_path: Path) -> None:
    cells = [CellFiles(f"C{i:02}", (Path(f"{i}.csv"),)) for i in range(40)]
    for i, cell in enumerate(cells):
        (tmp_path / cell.files[0]).write_bytes(b"x" * (400_000 + 1000 * i))
    for workers, wanted in ((1, 3), (2, 4), (3, 3), (4, 4)):  # 16.8 MB, 8 MiB at most, as many for each worker
        incremental = IncrementalLoader(XJTU(), tmp_path, DataSettings(), CellCache(tmp_path), "", workers)
        batches = list(incremental._divide(cells))
        assert [cell for batch in batches for cell in batch] == cells
        assert len(batches) == wanted
        assert max(map(len, batches)) - min(map(len, batches)) <= 2


def test_digests_of_an_earlier_kind_are_not_compared(fetched: Make) -> None:
    normalize(fetched())
    file = fetched().folder("data") / "cells" / "xjtu" / "tables.json"
    known = read_json(file)
    add_checkups(raw(fetched(), "2C_battery-1"))
    file.write_text(
        json.dumps({"version": "f" * 64, "cells": {cell: [key, "0"] for cell, (key, _) in known["cells"].items()}})
    )
    assert normalize(fetched()).message.endswith("1 cells read, 11 unchanged; the first version")
