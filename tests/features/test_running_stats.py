"""Many cells side by side give what pandas gives, cell by cell, to the bit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from battery_core.features import running_stats
from battery_core.features.base import build_features
from battery_core.features.running_stats import running_mean, smoothed
from tests.benchmarks.scoring import made_up

RNG = np.random.default_rng(2)
LENGTHS = RNG.integers(1, 60, size=80)
CELL = np.repeat(np.arange(80), LENGTHS)
VALUES = np.where(CELL[:, None] == 7, 0.1, RNG.normal(3.0, 1.0, (len(CELL), 3)))  # cell 7 stands still
SETS = ["charge", "recent_change", "early_deviation", "expanding_mean"]


@pytest.fixture
def by_frame(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how often pandas was asked."""
    asked: list[int] = []
    original = running_stats._by_frame
    monkeypatch.setattr(
        running_stats, "_by_frame", lambda values, cell: asked.append(len(cell)) or original(values, cell)
    )
    return asked


@pytest.mark.parametrize("span", [1, 5, 20])
def test_side_by_side_is_what_pandas_gives(span: int, by_frame: list[int]) -> None:
    groups = pd.DataFrame(VALUES).groupby(CELL)
    np.testing.assert_array_max_ulp(smoothed(VALUES, CELL, span), groups.ewm(span=span).mean().to_numpy(), 4)
    np.testing.assert_array_max_ulp(running_mean(VALUES, CELL), groups.expanding().mean().to_numpy(), 4)
    assert by_frame == []  # the quick way was taken


def test_what_stands_still_has_a_mean_that_does_too() -> None:
    """Rounding that moved it would be blown up to unit size by the scaler."""
    assert set(smoothed(VALUES, CELL, 5)[CELL == 7].ravel()) == {0.1}
    assert set(running_mean(VALUES, CELL)[CELL == 7].ravel()) == {0.1}


def test_gaps_and_few_cells_are_left_to_pandas(by_frame: list[int]) -> None:
    gaps = np.where(RNG.random(VALUES.shape) < 0.2, np.nan, VALUES)
    expected = pd.DataFrame(gaps).groupby(CELL).ewm(span=5).mean().to_numpy()
    np.testing.assert_array_equal(smoothed(gaps, CELL, 5), expected)
    running_mean(VALUES[CELL < 2], CELL[CELL < 2])
    assert by_frame == [len(CELL), int((CELL < 2).sum())]


@pytest.mark.parametrize("gaps", [False, True])
def test_no_row_depends_on_the_order_of_the_table_or_on_other_cells(gaps: bool) -> None:
    rows = made_up(2000, 40)
    if gaps:
        rows["cc_time_s"] = rows["cc_time_s"].where(rows["checkup_index"] % 7 != 0)
    features = build_features(rows, SETS)
    shuffled = rows.sample(frac=1.0, random_state=0)
    pd.testing.assert_frame_equal(build_features(shuffled, SETS), features.loc[shuffled.index], check_exact=True)
    alone = rows[rows["cell_id"] == "cell-9"]
    pd.testing.assert_frame_equal(build_features(alone, SETS), features.loc[alone.index], rtol=1e-12)


def test_many_cells_side_by_side_do_not_see_their_future() -> None:
    rows = made_up(2000, 40)
    later = rows["checkup_index"] >= 30
    changed = rows.assign(cc_time_s=rows["cc_time_s"].where(~later, 99.0), cycle_count=rows["cycle_count"])
    before, after = build_features(rows, SETS), build_features(changed, SETS)
    pd.testing.assert_frame_equal(before[~later], after[~later], check_exact=True)
    assert (before.loc[later, "cc_time_s_smooth"] != after.loc[later, "cc_time_s_smooth"]).all()
