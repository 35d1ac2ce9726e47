"""What counts as known: quantiles and margin by hand, the furthest column named, gaps and unknown names."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from battery_core.uncertainty.training_domain import TrainingDomain

COLUMNS = ["cell_id", "checkup_index", "group", "ambient_temperature_degC", "resistance_ohm", "nominal_capacity_Ah"]


@pytest.fixture
def rows() -> pd.DataFrame:
    """1001 check-ups; the resistance runs from 0 to 1 ohm with one bad reading, and has a gap."""
    n = 1001
    resistance = np.linspace(0.0, 1.0, n)
    resistance[-1] = 50.0
    resistance[7] = np.nan
    return pd.DataFrame({
        "cell_id": "A", "checkup_index": range(n), "group": np.where(np.arange(n) % 2, "NCM", "NCA"),
        "ambient_temperature_degC": np.where(np.arange(n) % 2, 25.0, 35.0), "resistance_ohm": resistance,
        "nominal_capacity_Ah": 5.0,
    })  # fmt: skip


def test_limits_are_quantiles_and_a_margin(rows: pd.DataFrame) -> None:
    seen = TrainingDomain.of(rows, COLUMNS, quantile=0.01, margin=0.1)
    found = rows["resistance_ohm"].dropna()
    low, high = found.quantile(0.01), found.quantile(0.99)
    assert seen.limits["resistance_ohm"] == pytest.approx((low - 0.1 * (high - low), high + 0.1 * (high - low)))
    assert seen.limits["resistance_ohm"][1] < 1.2  # the bad reading does not widen it
    assert seen.set_points == {"ambient_temperature_degC": (25.0, 35.0)}
    assert seen.limits["nominal_capacity_Ah"] == (4.75, 5.25)  # stands still in training
    assert seen.limits["ambient_temperature_degC"] == (20.0, 40.0)  # for who looks for a wrong unit
    assert set(seen.limits) == {"resistance_ohm", "ambient_temperature_degC", "nominal_capacity_Ah"}
    assert seen.names == {"group": ("NCA", "NCM")}


def test_the_column_furthest_outside_is_named(rows: pd.DataFrame) -> None:
    seen = TrainingDomain.of(rows, COLUMNS)
    odd = rows.iloc[[0, 1, 2, 3, 4]].reset_index(drop=True)
    odd.loc[0, "ambient_temperature_degC"] = 60.0
    odd.loc[1, ["ambient_temperature_degC", "resistance_ohm"]] = [41.0, 9.0]
    odd.loc[2, ["group", "resistance_ohm"]] = ["LFP", 9.0]
    odd.loc[3, "resistance_ohm"] = np.nan  # training has gaps there
    odd.loc[4, "nominal_capacity_Ah"] = np.nan  # and none here
    told = seen.ood_column(odd).tolist()
    assert told == ["ambient_temperature_degC", "resistance_ohm", "group", "", "nominal_capacity_Ah"]


def test_training_rows_are_known(rows: pd.DataFrame) -> None:
    outside = TrainingDomain.of(rows, COLUMNS).ood_column(rows)
    assert (outside != "").sum() == 1  # the bad reading
    assert outside[-1] == "resistance_ohm"


def test_a_missing_name_is_unknown_and_an_unmeasured_column_says_nothing(rows: pd.DataFrame) -> None:
    seen = TrainingDomain.of(rows.assign(resistance_ohm=np.nan), COLUMNS)
    assert "resistance_ohm" not in seen.limits
    odd = rows.iloc[[0]].assign(resistance_ohm=1e9)
    assert seen.ood_column(odd).tolist() == [""]
    assert seen.ood_column(odd.assign(group=None)).tolist() == ["group"]
    assert seen.ood_column(rows.iloc[:0]).tolist() == []


def test_it_comes_back_from_json_as_it_was(rows: pd.DataFrame) -> None:
    seen = TrainingDomain.of(rows, COLUMNS)
    assert TrainingDomain.from_json(json.loads(json.dumps(seen.to_json()))) == seen


def test_a_temperature_between_two_that_were_trained_is_not_known() -> None:
    trained = pd.DataFrame({"ambient_temperature_degC": [25.0, 45.0, 25.0]})
    seen = TrainingDomain.of(trained, ["ambient_temperature_degC"])
    asked = pd.DataFrame({"ambient_temperature_degC": [20.0, 19.0, 25.0, 29.0, 35.0, 41.0, 50.0, 51.0]})
    told = TrainingDomain.from_json(json.loads(json.dumps(seen.to_json()))).ood_column(asked) != ""
    assert told.tolist() == [False, True, False, False, True, False, False, True]
