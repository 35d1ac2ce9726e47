"""Labelled rows carry subset and label; a frame without them is refused in one line."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from battery_core.data.tables import labelled_rows
from battery_core.data.tables.fast_check import passes_fast_check
from battery_core.data.tables.labelled_rows import check_labelled_rows
from battery_core.data.tables.schema import CELL_COLUMNS, CHECKUP_COLUMNS, join_rows
from battery_core.errors import DataError


@pytest.fixture
def rows() -> pd.DataFrame:
    cells = pd.DataFrame([["A", "s", "g", "NMC", 5.0, 25.0, "1C"], ["B", "s", "g", "NMC", 5.0, np.nan, ""]])
    checkups = pd.DataFrame([[cell, i, np.nan, 1.0, np.nan, 4.9, np.nan] for cell in "AB" for i in range(2)])
    whole = join_rows(cells.set_axis(CELL_COLUMNS, axis=1), checkups.set_axis(CHECKUP_COLUMNS, axis=1))
    return whole.assign(extra_V=[1.0, np.nan, 2.0, 3.0], subset=["train", "train", "unused", "unused"], soh=0.98)


def test_labelled_rows_pass_the_fast_check_and_pandera_agrees(rows: pd.DataFrame) -> None:
    schema = labelled_rows._labelled_schema()
    assert passes_fast_check(rows, schema)
    pd.testing.assert_frame_equal(schema.validate(rows), rows)
    assert check_labelled_rows(rows) is rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="soh"), "labelled rows: no column 'soh'"),
        (lambda t: t.assign(soh=[1.0, np.nan, 1.0, 1.0]), "cell 'A', row 1: soh is nan, expected a value"),
        (lambda t: t.assign(subset="validation"), "cell 'A', row 0: subset is validation, expected isin"),
        (lambda t: t.assign(checkup_index=0), "expected each check-up of a cell once"),
    ],
)
def test_rows_without_subset_or_label_are_refused(
    rows: pd.DataFrame, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        check_labelled_rows(change(rows))
