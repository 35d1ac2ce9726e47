"""What is kept of a cell comes back as it was, or not at all."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from battery_core.data.ingest.cell_pack import entry, tables_of
from battery_core.data.ingest.cell_tables import CellTables
from battery_core.data.quality.across_cells import summarise
from battery_core.data.tables.cell_block import blocks_of, rows_of
from battery_core.data.tables.cell_rows import CellRows
from battery_core.data.tables.issues import Issue
from battery_core.data.tables.schema import as_arrow, checkups_arrow

TYPES = checkups_arrow(["voltage_mean_V"])
TABLE = pd.DataFrame({
    "cell_id": ["A"] * 3 + ["B"] * 2, "checkup_index": [0, 2, 5, 0, 1], "cycle_count": [0.0, 50.0, 90.0, 0.0, 40.0],
    "time_days": np.nan, "throughput_Ah": [0.0, np.nan, 9.0, np.nan, np.nan], "capacity_Ah": [5.0, 4.9, 4.8, 4.7, 4.6],
    "resistance_ohm": np.nan, "voltage_mean_V": [3.9, 3.8, -0.0, 1e-300, 3.7],
})  # fmt: skip


def kept(with_curves: bool = False) -> CellTables:
    rows = CellRows.of(TABLE)
    block, summary = blocks_of(rows)[0], summarise(rows)[0]
    finding = Issue("A", 2, "soh_step", "capacity_Ah", "0.1", "flagged", "a step")
    curves = pa.table({"time_s": np.arange(20_000.0)}) if with_curves else None
    return CellTables({"cell_id": "A", "group": "g"}, block, None, curves, (finding,), 3, summary, "content")


def test_rows_and_blocks_are_the_table_and_nothing_is_lost_on_the_way() -> None:
    rows = CellRows.of(TABLE)
    wanted = as_arrow(TABLE, TYPES)
    assert rows.as_arrow(TYPES).equals(wanted)
    blocks = dict(zip(rows.names, blocks_of(rows), strict=True))
    assert blocks["B"].names == ("cycle_count", "capacity_Ah", "voltage_mean_V")  # no value, no place
    assert rows_of(blocks, TYPES.names[2:]).as_arrow(TYPES).equals(wanted)
    assert rows_of({}, TYPES.names[2:]).as_arrow(TYPES).equals(wanted.slice(0, 0))
    assert blocks["A"].frame(["time_days", "capacity_Ah"])["capacity_Ah"].tolist() == [5.0, 4.9, 4.8]


def test_ranges_are_those_of_each_cell() -> None:
    by_hand = {
        name: [values.min(), values.max()]
        for name, values in TABLE[TABLE["cell_id"] == "A"].drop(columns=["cell_id", "checkup_index"]).items()
        if values.notna().any()
    }
    assert summarise(CellRows.of(TABLE))[0].ranges == blocks_of(CellRows.of(TABLE))[0].ranges() == by_hand


def test_one_number_changes_the_digest() -> None:
    digests = {blocks_of(CellRows.of(TABLE))[0].digest()}
    for column, value in (("checkup_index", 1), ("voltage_mean_V", 3.81), ("throughput_Ah", 4.0), ("time_days", 4.0)):
        changed = TABLE.copy()
        changed.loc[1, column] = value
        digests.add(blocks_of(CellRows.of(changed))[0].digest())
    renamed = TABLE.rename(columns={"voltage_mean_V": "voltage_std_V"})
    digests.add(blocks_of(CellRows.of(renamed))[0].digest())
    assert len(digests) == 6


@pytest.mark.parametrize("with_curves", [False, True])
def test_an_entry_comes_back_as_it_was(with_curves: bool) -> None:
    cell = kept(with_curves)
    again = tables_of(b"".join(entry("ab" * 32, cell)))
    assert again is not None
    assert again.checkups is not None
    assert again.checkups.names == cell.checkups.names
    assert again.checkups.numbers.tobytes() == cell.checkups.numbers.tobytes()
    assert (again.cell, again.issues, again.rows_read, again.summary, again.content) == (
        cell.cell, cell.issues, cell.rows_read, cell.summary, cell.content,
    )  # fmt: skip
    assert again.curves == cell.curves


def test_an_entry_with_any_byte_changed_or_missing_is_not_there() -> None:
    content = b"".join(entry("ab" * 32, kept()))
    assert tables_of(content) is not None
    for i in range(len(content)):
        assert tables_of(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :]) is None, i
        assert tables_of(content[:i]) is None, i
    assert hashlib.sha256(content).digest() != content[:32]  # the digest at the beginning is not of the check-ups
