"""What is taken out, what is only flagged, and that nothing is lost."""

import numpy as np
import pandas as pd
import pytest

from battery_core.data.labels import soh
from battery_core.data.quality import Finding, check_quality, check_share, summary
from battery_core.data.settings import DataSettings
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
    clean, findings = check_quality(cells, checkups, LOOSE)
    assert clean.query("cell_id == 'A'")["checkup_index"].tolist() == [0, 2, 6]
    assert [(f.row, f.action, f.rule) for f in findings] == [(i, "quarantined", "no_label") for i in (1, 3, 4, 5)]
    about = summary(len(checkups), len(clean), 4, findings)
    assert (about["rows_read"], about["rows_kept"], about["rows_quarantined"]) == (9, 5, 4)


def test_suspicious_labels_are_flagged_and_kept():
    cells, checkups = tables(A=[2.2, 2.0, 1.7, 1.68], B=[1.9, 1.8, 0.7, 0.68])  # SOH 1.1 | step 0.15 | SOH 0.35
    clean, findings = check_quality(cells, checkups, LOOSE)
    assert len(clean) == len(checkups)
    assert {(f.cell_id, f.rule, f.row, f.action) for f in findings} == {
        ("A", "soh_range", 0, "flagged"), ("A", "soh_step", 1, "flagged"),
        ("B", "soh_range", 2, "flagged"), ("B", "soh_step", 2, "flagged"),
    }  # fmt: skip
    assert "in 2 check-up(s) from number 2 on" in next(f for f in findings if f.row == 2).reason


def test_a_step_of_exactly_the_limit_is_not_flagged():
    _, findings = check_quality(*tables(A=[2.0, 1.9, 1.8]), DataSettings())
    assert findings == []


def test_repeated_checkups_and_twin_cells_are_found():
    cells, checkups = tables(A=[2.0, 1.99], B=[2.0, 1.99], C=[1.98, 1.9])
    checkups = pd.concat([checkups, checkups.iloc[[4]]], ignore_index=True)
    clean, findings = check_quality(cells, checkups, LOOSE)
    assert len(clean) == 6
    assert [(f.rule, f.cell_id, f.action) for f in findings] == [
        ("repeated_checkup", "C", "quarantined"), ("twin_cell", "B", "flagged"),
    ]  # fmt: skip


def test_a_cell_without_any_label_stops():
    with pytest.raises(DataError, match="cell 'B': no check-up has a usable capacity_Ah"):
        check_quality(*tables(A=[2.0, 1.9], B=[np.nan, np.nan]), LOOSE)


def test_too_many_quarantined_rows_stop_with_the_commonest_reason():
    with pytest.raises(DataError, match=r"2 of 4 check-ups are quarantined, at most 20%.*no_label in capacity_Ah \(2"):
        check_quality(*tables(A=[2.0, np.nan, np.nan, 1.9]), DataSettings())
    bad = [Finding("A", 0, "x", c, "", "quarantined", "") for c in ("a", "b", "c")]  # one row, three columns
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
