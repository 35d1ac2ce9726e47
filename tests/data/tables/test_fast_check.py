"""A table is plainly right only where pandera finds nothing either."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pandera.errors
import pytest

from battery_core.data.tables import schema
from battery_core.data.tables.cell_rows import CellRows
from battery_core.data.tables.fast_check import passes_fast_check

CHECKUPS = pd.DataFrame({
    "cell_id": ["A", "A", "B"], "checkup_index": [0, 2, 1], "cycle_count": [0.0, 2.0, 1.0], "time_days": np.nan,
    "throughput_Ah": [0.0, np.nan, 3.0], "capacity_Ah": [5.0, 4.9, 4.8], "resistance_ohm": 0.03, "extra_V": -1.0,
})  # fmt: skip
CURVES = pd.DataFrame({
    "cell_id": ["A", "A"], "checkup_index": [0, 0], "half_cycle": ["charge", "discharge"], "time_s": [0.0, 1.0],
    "voltage_V": [3.6, 10.0], "current_A": [1.0, -1.0], "capacity_Ah": np.nan, "temperature_degC": [-50.0, 150.0],
})  # fmt: skip
CELLS = pd.DataFrame(
    [["A", "s", "g", "NMC", 5.0, 25.0, "1C"], ["B", "s", "g", "NMC", 5.0, np.nan, ""]], columns=schema.CELL_COLUMNS
)
SCHEMAS = {
    "checkups": (CHECKUPS, schema.checkups_schema(("extra_V",))),
    "curves": (CURVES, schema.curves_schema()),
    "cells": (CELLS, schema.cells_schema()),
}
Change = Callable[[pd.DataFrame], pd.DataFrame]
CHANGES: list[tuple[str, Change]] = [
    ("checkups", lambda t: t.drop(columns="time_days")),
    ("checkups", lambda t: t.assign(more=1.0)),
    ("checkups", lambda t: t.assign(checkup_index=[0, 0, 1])),
    ("checkups", lambda t: t.assign(checkup_index=[0, -1, 1])),
    ("checkups", lambda t: t.assign(checkup_index=[0.0, 1.0, 1.0])),
    ("checkups", lambda t: t.assign(capacity_Ah=[1.0, np.nan, 1.0])),
    ("checkups", lambda t: t.assign(capacity_Ah=np.nan)),
    ("checkups", lambda t: t.assign(capacity_Ah=[1.0, 0.0, 1.0])),
    ("checkups", lambda t: t.assign(cycle_count=[1.0, -0.1, 1.0])),
    ("checkups", lambda t: t.assign(extra_V=[1.0, np.inf, np.nan])),
    ("checkups", lambda t: t.assign(extra_V=[1.0, -np.inf, np.nan])),
    ("checkups", lambda t: t.assign(extra_V=["1", "x", "2"])),
    ("curves", lambda t: t.assign(half_cycle=["charge", "rest"])),
    ("curves", lambda t: t.assign(voltage_V=[3.6, 10.1])),
    ("curves", lambda t: t.assign(time_s=[0.0, np.nan])),
    ("curves", lambda t: t.assign(temperature_degC=[-50.1, 25.0])),
    ("cells", lambda t: t.assign(cell_id="A")),
    ("cells", lambda t: t.assign(cell_id=["A", ""])),
    ("cells", lambda t: t.assign(nominal_capacity_Ah=[5.0, 0.0])),
    ("cells", lambda t: t.assign(protocol=["1C", 5])),
    ("cells", lambda t: t.assign(protocol=["1C", None])),
]


@pytest.mark.parametrize("table", SCHEMAS)
def test_right_tables_are_told_at_a_glance_and_pandera_agrees(table: str) -> None:
    frame, wanted = SCHEMAS[table]
    assert passes_fast_check(frame, wanted)
    pd.testing.assert_frame_equal(wanted.validate(frame), frame)


@pytest.mark.parametrize(("table", "change"), CHANGES)
def test_whatever_pandera_refuses_or_converts_is_not_plainly_right(table: str, change: Change) -> None:
    frame, wanted = SCHEMAS[table]
    changed = change(frame)
    try:
        is_unchanged = wanted.validate(changed, lazy=True).equals(changed)
    except pandera.errors.SchemaErrors:
        is_unchanged = False
    assert not is_unchanged or changed.dtypes.astype(str).eq("object").any()
    assert not passes_fast_check(changed, wanted)
    if table == "checkups" and "checkup_index" in changed and changed["checkup_index"].dtype != float:
        assert not passes_fast_check(changed, wanted, CellRows.of(changed))


def test_numbers_at_hand_say_the_same() -> None:
    frame, wanted = SCHEMAS["checkups"]
    assert passes_fast_check(frame, wanted, CellRows.of(frame))


def test_an_order_that_cannot_be_told_at_a_glance_is_left_to_pandera() -> None:
    mixed = CHECKUPS.iloc[[2, 1, 0]]
    assert not passes_fast_check(mixed, SCHEMAS["checkups"][1])
    assert len(schema.check_checkups(mixed, ["extra_V"])) == 3
