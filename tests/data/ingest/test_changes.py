"""What is new since an earlier version, on tables small enough to see."""

import numpy as np
import pandas as pd
import pytest

from battery_core.data.ingest.changes import changes_between, describe_changes


def table(**cells: list[float]) -> pd.DataFrame:
    rows = [(cell, i, value) for cell, values in cells.items() for i, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["cell_id", "checkup_index", "capacity_Ah"])


BEFORE = table(A=[5.0, 4.9], B=[5.0, np.nan], C=[4.8])


def test_nothing_new_whatever_the_order_of_rows_and_columns():
    shuffled = BEFORE.sample(frac=1.0, random_state=0)[["capacity_Ah", "checkup_index", "cell_id"]]
    found = changes_between(BEFORE, shuffled, "v1")
    assert found == {
        "previous_version": "v1", "new_cells": [], "gone_cells": [], "grown_cells": {}, "changed_cells": [],
    }  # fmt: skip
    assert describe_changes(found) == ""


def test_without_an_earlier_table_every_cell_is_new():
    found = changes_between(None, BEFORE)
    assert found["new_cells"] == ["A", "B", "C"]
    assert (found["previous_version"], found["gone_cells"], found["changed_cells"]) == ("", [], [])


def test_cells_that_came_went_grew_and_were_corrected_are_told_apart():
    now = table(A=[5.0, 4.9, 4.8, 4.7], B=[5.0, 4.9, 4.8], D=[5.0])
    found = changes_between(BEFORE, now)
    assert found["new_cells"] == ["D"]
    assert found["gone_cells"] == ["C"]
    assert found["grown_cells"] == {"A": 2, "B": 1}
    assert found["changed_cells"] == ["B"]  # its missing reading has a value now; A only grew
    assert (
        describe_changes(found)
        == "1 cell new (D), 1 gone (C), 2 grown by 3 check-ups (A, B), 1 with corrected rows (B)"
    )


def test_a_row_that_is_gone_is_a_correction():
    found = changes_between(BEFORE, table(A=[5.0], B=[5.0, np.nan], C=[4.8]))
    assert (found["changed_cells"], found["grown_cells"], found["gone_cells"]) == (["A"], {}, [])


@pytest.mark.parametrize("change", ["another column", "no cell in common"])
def test_tables_that_cannot_be_compared_row_by_row(change):
    if change == "another column":
        found = changes_between(BEFORE, BEFORE.assign(resistance_ohm=0.02))
        assert (found["changed_cells"], found["new_cells"]) == (["A", "B", "C"], [])
    else:
        found = changes_between(BEFORE, table(X=[5.0]))
        assert (found["new_cells"], found["gone_cells"]) == (["X"], ["A", "B", "C"])
