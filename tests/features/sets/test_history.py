"""A cell's own past as features, against loops that say it in the plainest way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from battery_core.features.base import build_features
from battery_core.features.settings import FeatureSettings

RNG = np.random.default_rng(1)
ROWS = pd.DataFrame({"cell_id": ["A"] * 12 + ["B"] * 5, "checkup_index": [*range(12), *range(5)]}).assign(
    cc_time_s=RNG.uniform(1000, 2000, 17), cv_charge_Ah=RNG.uniform(0.1, 0.4, 17)
)
SETTINGS = FeatureSettings(smooth_checkups=3, recent_change_checkups=4, early_deviation_checkups=6)
NAMES = ("cc_time_s", "cv_charge_Ah")


def smooth(values: np.ndarray, span: int) -> float:
    """The last value's exponential mean: each step back weighs 1 - 2 / (span + 1) as much."""
    weights = (1 - 2 / (span + 1)) ** np.arange(len(values))[::-1]
    return float((weights * values).sum() / weights.sum())


@pytest.mark.parametrize("cell", ["A", "B"])
@pytest.mark.parametrize("name", NAMES)
def test_each_number_by_hand(cell: str, name: str) -> None:
    features = build_features(ROWS, ["recent_change", "early_deviation", "expanding_mean"], SETTINGS)[
        ROWS["cell_id"] == cell
    ]
    values = ROWS.loc[ROWS["cell_id"] == cell, name].to_numpy()
    for i in range(len(values)):
        past = values[: i + 1]
        slow = [smooth(values[: j + 1], 5) for j in range(i + 1)]  # a span of a quarter, but at least 5
        row = features.iloc[i]
        assert row[f"{name}_smooth"] == pytest.approx(smooth(past, 3))
        assert row[f"{name}_recent_change"] == pytest.approx(slow[i] - slow[max(0, i - 4)], abs=1e-9)
        assert row[f"{name}_early_deviation"] == pytest.approx(smooth(past, 3) - past[:6].mean(), abs=1e-9)
        assert row[f"{name}_expanding_mean"] == pytest.approx(past.mean())


def test_two_cells_that_look_alike_today_differ_by_their_past() -> None:
    """One cell fell to 1 in a straight line, the other all at once in its last ten check-ups."""
    steady, sudden = np.linspace(2.0, 1.0, 101), np.concatenate([np.full(91, 2.0), np.linspace(1.9, 1.0, 10)])
    rows = pd.DataFrame({"cell_id": np.repeat(["steady", "sudden"], 101), "checkup_index": [*range(101)] * 2})
    rows = rows.assign(cc_time_s=np.concatenate([steady, sudden]))
    last = build_features(rows, ["recent_change", "expanding_mean"], FeatureSettings(recent_change_checkups=20)).iloc[
        [100, 201]
    ]
    assert last["cc_time_s_expanding_mean"].round(2).tolist() == [1.5, 1.95]
    assert last["cc_time_s_recent_change"].round(2).tolist() == [-0.2, -0.8]


def test_a_missing_measurement_leaves_the_past_as_it_was() -> None:
    gap = ROWS.assign(cc_time_s=ROWS["cc_time_s"].where(ROWS["checkup_index"] != 3))
    features = build_features(gap, ["expanding_mean"], SETTINGS)["cc_time_s_expanding_mean"]
    assert features[3] == features[2] == pytest.approx(ROWS["cc_time_s"][:3].mean())
    assert features[4] == pytest.approx(ROWS["cc_time_s"][[0, 1, 2, 4]].mean())
