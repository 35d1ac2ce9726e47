"""One line for a table that is not what it should be."""

import numpy as np
import pandas as pd
import pytest

from battery_core.data.tables.schema import CELL_COLUMNS, check_cells, check_checkups, check_curves, join_rows
from battery_core.errors import DataError


def cells() -> pd.DataFrame:
    return pd.DataFrame(
        [["A", "s", "g", "NMC", 5.0, 25.0, "1C"], ["B", "s", "g", "NMC", 5, np.nan, ""]], columns=CELL_COLUMNS
    )


def checkups() -> pd.DataFrame:
    return pd.DataFrame({
        "cell_id": ["B", "A", "A"], "checkup_index": [0, 1, 0], "cycle_count": 0, "time_days": 0.0,
        "throughput_Ah": np.nan,
        "capacity_Ah": [4.9, 4.8, 4.85], "resistance_ohm": 0.03, "extra_V": 1.0,
    })  # fmt: skip


def test_good_tables_pass_and_get_their_types():
    assert check_cells(cells())["nominal_capacity_Ah"].dtype == "float64"
    assert check_checkups(checkups(), ["extra_V"])["cycle_count"].dtype == "float64"
    curve = pd.DataFrame([["A", 0, "charge", 0.0, 3.6, 0.5, 0.0, 25.0]], columns=[
        "cell_id", "checkup_index", "half_cycle", "time_s", "voltage_V", "current_A", "capacity_Ah", "temperature_degC",
    ])  # fmt: skip
    check_curves(curve)
    with pytest.raises(DataError, match=r"half_cycle is rest, expected isin"):
        check_curves(curve.assign(half_cycle="rest"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.drop(columns="capacity_Ah"), "checkups: no column 'capacity_Ah'; found cell_id"),
        (lambda c: c.assign(surprise=1.0), "checkups: column 'surprise' is not expected"),
        (lambda c: c.assign(capacity_Ah=[4.9, -1, 4.8]), r"cell 'A', row 1: capacity_Ah is -1.0, expected great"),
        (lambda c: c.assign(capacity_Ah=[4.9, np.nan, 4.8]), "cell 'A', row 1: capacity_Ah is nan, expected a value"),
        (lambda c: c.assign(extra_V=[1.0, np.inf, 1.0]), "cell 'A', row 1: extra_V is inf, expected a finite number"),
        (lambda c: c.assign(capacity_Ah=["x", "y", "z"]), "capacity_Ah"),
        (lambda c: c.assign(checkup_index=[0.5, 1, 0]), "column 'checkup_index': expected whole numbers"),
        (lambda c: c.assign(checkup_index=[0, 1, 1]), "cell 'A', row 1: .*expected each check-up of a cell once"),
    ],
)  # fmt: skip
def test_a_bad_table_is_refused_in_one_line(change, message):
    with pytest.raises(DataError, match=message) as caught:
        check_checkups(change(checkups()), ["extra_V"])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_two_cells_of_one_name_are_refused():
    with pytest.raises(DataError, match="cells: cell 'A', row 0: cell_id is A, expected each one once"):
        check_cells(cells().assign(cell_id="A"))


def test_join_rows_sorts_and_refuses_strangers():
    rows = join_rows(cells(), checkups())
    assert rows[["cell_id", "checkup_index"]].values.tolist() == [["A", 0], ["A", 1], ["B", 0]]
    assert rows["ambient_temperature_degC"].iloc[0] == 25.0
    with pytest.raises(DataError, match="cell 'A' is not in the cells table"):
        join_rows(cells().iloc[[1]], checkups())
