"""What is taken out, what is only flagged, and that nothing is lost."""

import numpy as np
import pandas as pd
import pytest

from battery_core.data.quality.across_cells import AcrossCells, summarise
from battery_core.data.quality.checks import check_quality, check_share, summary
from battery_core.data.quality.rules import check_rows
from battery_core.data.settings import DataSettings
from battery_core.data.tables.cell_rows import CellRows
from battery_core.data.tables.issues import ALL_CELLS, Issue
from battery_core.data.tables.labels import soh
from battery_core.errors import DataError


def tables(**capacities: list[float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    cells = pd.DataFrame({"cell_id": list(capacities), "nominal_capacity_Ah": 2.0})
    parts = [
        pd.DataFrame({"cell_id": cell, "checkup_index": range(len(values)), "capacity_Ah": values})
        for cell, values in capacities.items()
    ]
    return cells, pd.concat(parts, ignore_index=True)


LOOSE = DataSettings(max_quarantine_share=1.0)


def test_only_rows_without_a_usable_label_are_taken_out():
    cells, checkups = tables(A=[2.0, np.nan, 1.96, 0.0, np.inf, -1.0, 1.9], B=[1.9, 1.88])
    clean, issues = check_quality(cells, checkups, LOOSE)
    assert clean.query("cell_id == 'A'")["checkup_index"].tolist() == [0, 2, 6]
    assert [(f.row, f.action, f.rule) for f in issues] == [(i, "quarantined", "no_label") for i in (1, 3, 4, 5)]
    about = summary(len(checkups), len(clean), 4, issues)
    assert (about["rows_read"], about["rows_kept"], about["rows_quarantined"]) == (9, 5, 4)


def test_suspicious_labels_are_flagged_and_kept():
    cells, checkups = tables(A=[2.2, 2.0, 1.7, 1.68], B=[1.9, 1.8, 0.7, 0.68])  # SOH 1.1 | step 0.15 | SOH 0.35
    clean, issues = check_quality(cells, checkups, LOOSE)
    assert len(clean) == len(checkups)
    assert {(f.cell_id, f.rule, f.row, f.action) for f in issues} == {
        ("A", "soh_range", 0, "flagged"), ("A", "soh_step", 1, "flagged"),
        ("B", "soh_range", 2, "flagged"), ("B", "soh_step", 2, "flagged"),
    }  # fmt: skip
    assert "in 2 check-up(s) from number 2 on" in next(f for f in issues if f.row == 2).reason


def test_a_step_of_exactly_the_limit_is_not_flagged():
    _, issues = check_quality(*tables(A=[2.0, 1.9, 1.8]), DataSettings())
    assert issues == []


def test_repeated_checkups_and_twin_cells_are_found():
    cells, checkups = tables(A=[2.0, 1.99], B=[2.0, 1.99], C=[1.98, 1.9])
    checkups = pd.concat([checkups, checkups.iloc[[4]]], ignore_index=True)
    clean, issues = check_quality(cells, checkups, LOOSE)
    assert len(clean) == 6
    assert [(f.rule, f.cell_id, f.action) for f in issues] == [
        ("repeated_checkup", "C", "quarantined"), ("twin_cell", "B", "flagged"),
    ]  # fmt: skip


def test_a_cell_without_any_label_stops():
    with pytest.raises(DataError, match="cell 'B': no check-up has a usable capacity_Ah"):
        check_quality(*tables(A=[2.0, 1.9], B=[np.nan, np.nan]), LOOSE)


def test_too_many_quarantined_rows_stop_with_the_commonest_reason():
    with pytest.raises(DataError, match=r"2 of 4 check-ups are quarantined, at most 20%.*no_label in capacity_Ah \(2"):
        check_quality(*tables(A=[2.0, np.nan, np.nan, 1.9]), DataSettings())
    bad = [Issue("A", 0, "x", c, "", "quarantined", "") for c in ("a", "b", "c")]  # one row, three columns
    check_share(10, 1, bad, limit=0.1)


def test_lost_rows_are_noticed():
    with pytest.raises(DataError, match="1 are unaccounted for"):
        summary(3, 2, 0, [])


def test_soh_references():
    cells, checkups = tables(A=[1.9, 1.8])
    assert soh(checkups, cells).tolist() == [0.95, 0.9]
    assert soh(checkups, cells, "first_checkup").tolist() == [1.0, 1.8 / 1.9]
    with pytest.raises(DataError, match="cell 'A': no positive nominal capacity"):
        soh(checkups, cells.assign(nominal_capacity_Ah=np.nan))


def long_tables(**columns: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two cells of six check-ups that fade; ``columns`` are added or replaced, value by value over both."""
    cells = pd.DataFrame({"cell_id": ["A", "B"], "nominal_capacity_Ah": 2.0, "ambient_temperature_degC": [25.0, 10.0]})
    step = np.tile(np.arange(6.0), 2)
    rows = {
        "cell_id": np.repeat(["A", "B"], 6), "checkup_index": step.astype("int64"), "cycle_count": 100 * step,
        "time_days": 10 * step, "throughput_Ah": 400 * step, "capacity_Ah": 1.95 - 0.02 * np.arange(12) ** 0.9,
        "resistance_ohm": 0.02 + 0.001 * np.arange(12), "voltage_mean_V": 3.9 + 0.01 * np.arange(12),
    }  # fmt: skip
    return cells, pd.DataFrame(rows | columns)


def rules(cells: pd.DataFrame, checkups: pd.DataFrame) -> list[tuple[str, int | None, str, str]]:
    _, issues = check_quality(cells, checkups, DataSettings())
    return [(f.cell_id, f.row, f.rule, f.column) for f in issues]


def test_a_good_table_has_no_findings():
    assert rules(*long_tables()) == []


@pytest.mark.parametrize("column", ["time_days", "cycle_count", "throughput_Ah"])
def test_what_only_grows_must_not_run_backwards(column):
    cells, checkups = long_tables()
    checkups.loc[9, column] = checkups.loc[8, column] - 1.0
    _, issues = check_quality(cells, checkups, DataSettings())
    found = [(f.cell_id, f.row, f.rule, f.column, f.value) for f in issues]
    assert found == [("B", 3, "non_monotonic", column, "-1")]


def test_a_new_cell_begins_its_own_time():
    cells, checkups = long_tables()
    shuffled = checkups.sample(frac=1.0, random_state=0)  # the order of rows plays no part either
    assert rules(cells, shuffled) == []


def test_one_measurement_under_two_numbers_is_flagged():
    cells, checkups = long_tables()
    measured = ["capacity_Ah", "resistance_ohm", "voltage_mean_V"]
    checkups.loc[4, measured] = checkups.loc[3, measured]
    assert rules(cells, checkups) == [("A", 4, "same_as_before", "capacity_Ah")]
    checkups.loc[6, measured] = checkups.loc[5, measured]  # the first of another cell is no repeat
    assert rules(cells, checkups) == [("A", 4, "same_as_before", "capacity_Ah")]
    checkups.loc[4, "voltage_mean_V"] += 0.001  # an equal capacity alone is chance
    assert rules(cells, checkups) == []


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (
            1000.0,
            r"cell 'A': median capacity_Ah is 1904.*, 952 times the nominal 2 Ah; .* likely in mAh: state the u",
        ),
        (0.001, r"the nominal capacity is likely in mAh, or the capacity was divided by 1000 twice"),
        (50.0, r"expected 0.05 to 20 times - check the unit of the capacity and the nominal capacity"),
    ],
)
def test_a_capacity_in_another_unit_is_refused(factor, words):
    cells, checkups = long_tables()
    with pytest.raises(DataError, match=words) as caught:
        check_quality(cells, checkups.assign(capacity_Ah=checkups["capacity_Ah"] * factor), LOOSE)
    assert "\n" not in str(caught.value)


def test_a_temperature_far_from_the_set_point_is_flagged_and_kelvin_refused():
    wobble = np.tile([0.1, -0.1, 0.2], 4)
    cells, checkups = long_tables(temperature_degC=22.0 + wobble)  # B stands at 10 degC
    _, issues = check_quality(cells, checkups, DataSettings())
    assert [(f.cell_id, f.rule) for f in issues] == [("B", "off_set_point")]
    assert "+12.1 K off the set-point of 10 degC" in issues[0].reason
    assert check_quality(cells, checkups, DataSettings(max_temperature_offset_K=13.0))[1] == []
    with pytest.raises(DataError, match=r"cell 'A': median temperature_degC is 295.*expected degC - likely kelvin"):
        check_quality(*long_tables(temperature_degC=295.0 + wobble), DataSettings())


def test_columns_that_stand_still_are_flagged():
    assert rules(*long_tables(resistance_ohm=0.02)) == [(ALL_CELLS, None, "constant_column", "resistance_ohm")]
    assert rules(*long_tables(resistance_ohm=np.nan)) == []  # not measured is not constant
    per_cell = np.repeat([0.02, 0.03], 6)  # a fact of each cell, as a set-point is
    assert rules(*long_tables(resistance_ohm=per_cell)) == []


def test_a_column_that_stands_still_in_one_cell_of_many_is_flagged():
    across = AcrossCells()
    for i in range(5):
        _, checkups = long_tables()
        one = checkups[checkups["cell_id"] == "A"].assign(cell_id=f"C{i}")
        one["capacity_Ah"] += 0.001 * i
        (summary_of_cell,) = summarise(CellRows.of(one.assign(voltage_mean_V=3.9) if i == 2 else one))
        across.add(summary_of_cell)
    (finding,) = across.issues()
    assert (finding.cell_id, finding.rule, finding.column) == ("C2", "constant_in_cell", "voltage_mean_V")
    assert "moves in 4 others" in finding.reason


def test_three_copies_of_a_checkup_are_two_quarantined_rows():
    cells, checkups = long_tables()
    checked = check_rows(cells, pd.concat([checkups, checkups.iloc[[2, 2]]], ignore_index=True), DataSettings())
    assert (len(checked.checkups), len(checked.quarantined)) == (12, 2)
    assert checked.quarantined[["cell_id", "checkup_index"]].to_numpy().tolist() == [["A", 2]] * 2


def test_a_cell_is_judged_by_itself():
    """What is found in a cell is the same whether it is checked alone or with others."""
    cells, checkups = long_tables()
    checkups.loc[[3, 10], "capacity_Ah"] = [0.5, np.nan]
    checkups.loc[8, "time_days"] = 0.0
    together = check_rows(cells, checkups, DataSettings())
    alone = [check_rows(cells, rows, DataSettings()) for _, rows in checkups.groupby("cell_id")]
    order = lambda f: (f.cell_id, f.row, f.rule)  # noqa: E731
    assert sorted(together.issues, key=order) == sorted((f for one in alone for f in one.issues), key=order)
    pd.testing.assert_frame_equal(together.checkups, pd.concat([one.checkups for one in alone], ignore_index=True))
