"""The cached tables of a cell are loaded as they were saved, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from battery_core.data.ingest.cache import CellCache
from battery_core.data.ingest.cell_tables import CellTables
from battery_core.data.quality.across_cells import summarise
from battery_core.data.tables.cell_rows import CellRows
from battery_core.data.tables.issues import Issue
from battery_core.data.tables.schema import as_arrow, checkups_arrow

TYPES = pa.schema([*checkups_arrow(["voltage_mean_V"])][1:])
KEY = "ab" * 32
TABLE = pd.DataFrame({
    "cell_id": ["A"] * 3 + ["B"] * 2, "checkup_index": [0, 2, 5, 0, 1], "cycle_count": [0.0, 50.0, 90.0, 0.0, 40.0],
    "time_days": np.nan, "throughput_Ah": [0.0, np.nan, 9.0, np.nan, np.nan], "capacity_Ah": [5.0, 4.9, 4.8, 4.7, 4.6],
    "resistance_ohm": np.nan, "voltage_mean_V": [3.9, 3.8, -0.0, 1e-300, 3.7],
})  # fmt: skip


def cell_tables(with_curves: bool = False) -> CellTables:
    rows = CellRows.of(TABLE)
    issue = Issue("A", 2, "soh_step", "capacity_Ah", "0.1", "flagged", "a step")
    curves = pa.table({"time_s": np.arange(20_000.0)}) if with_curves else None
    checkups = rows.as_arrow(TYPES).slice(0, 3)
    return CellTables({"cell_id": "A", "group": "g"}, checkups, None, curves, (issue,), 3, summarise(rows)[0], "digest")


def test_rows_as_arrow_are_the_table() -> None:
    assert CellRows.of(TABLE).as_arrow(TYPES).equals(as_arrow(TABLE.drop(columns="cell_id"), TYPES))


def test_ranges_are_those_of_each_cell() -> None:
    by_hand = {
        name: [values.min(), values.max()]
        for name, values in TABLE[TABLE["cell_id"] == "A"].drop(columns=["cell_id", "checkup_index"]).items()
        if values.notna().any()
    }
    assert summarise(CellRows.of(TABLE))[0].ranges == by_hand


def test_one_number_changes_the_digest() -> None:
    digests = {CellRows.of(TABLE).digests()[0]}
    for column, value in (("checkup_index", 1), ("voltage_mean_V", 3.81), ("throughput_Ah", 4.0), ("time_days", 4.0)):
        changed = TABLE.copy()
        changed.loc[1, column] = value
        digests.add(CellRows.of(changed).digests()[0])
        assert CellRows.of(changed).digests()[1] == CellRows.of(TABLE).digests()[1]
    digests.add(CellRows.of(TABLE.rename(columns={"voltage_mean_V": "voltage_std_V"})).digests()[0])
    assert len(digests) == 6


@pytest.mark.parametrize("with_curves", [False, True])
def test_tables_are_loaded_as_they_were_saved(tmp_path: Path, with_curves: bool) -> None:
    cache, tables = CellCache(tmp_path), cell_tables(with_curves)
    cache.save(KEY, tables)
    assert cache.load(KEY) == tables
    assert [file.name for file in tmp_path.iterdir()] == [f"{KEY}.arrow"]
    assert cache.load("cd" * 32) is None


def test_a_file_with_any_byte_changed_or_missing_is_not_loaded(tmp_path: Path) -> None:
    cache = CellCache(tmp_path)
    cache.save(KEY, cell_tables())
    file = tmp_path / f"{KEY}.arrow"
    content = file.read_bytes()
    for i in range(0, len(content), 7):
        for damaged in (content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :], content[:i]):
            file.write_bytes(damaged)
            assert cache.load(KEY) is None, i
