"""Intervals of a report: the bootstrap over cells, beside every mean, and absent where there is nothing to draw."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from battery_core.evaluation.metrics.confidence import SOH_EDGES, bounds, soh_range
from battery_core.evaluation.metrics.scores import PRIMARY_METRIC, evaluate_predictions


@pytest.fixture
def rows() -> pd.DataFrame:
    """Twelve cells of five check-ups from 1.0 to 0.6; cell c errs by c thousandths of its SOH."""
    rows = pd.DataFrame([(f"c{c:02d}", i) for c in range(12) for i in range(5)], columns=["cell_id", "checkup_index"])
    number = rows["cell_id"].str[1:].astype(int)
    return rows.assign(
        soh=1.0 - 0.1 * rows["checkup_index"],
        error=number / 1000,
        ambient_temperature_degC=np.where(number < 8, 25.0, 45.0),
        group="g",
        protocol=np.where(number == 11, "", "1C"),
    )


def test_the_interval_of_the_headline_is_that_of_drawing_cells_again(rows: pd.DataFrame) -> None:
    scores = evaluate_predictions(rows, rows["soh"] * (1 + rows["error"]))
    errors = np.arange(12) / 10  # % of each cell
    drawn = np.random.default_rng(7).choice(errors, size=(20_000, 12)).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert scores[PRIMARY_METRIC] == pytest.approx(0.55)
    assert scores[f"{PRIMARY_METRIC}_low"] == pytest.approx(low, abs=0.02)
    assert scores[f"{PRIMARY_METRIC}_high"] == pytest.approx(high, abs=0.02)
    again = evaluate_predictions(rows, rows["soh"] * (1 + rows["error"]))
    assert again["per_temperature"] == scores["per_temperature"]  # the same draws each time


def test_more_checkups_of_the_same_cells_do_not_make_a_figure_surer(rows: pd.DataFrame) -> None:
    often = pd.concat([rows] * 20, ignore_index=True)
    for name in (f"{PRIMARY_METRIC}_low", f"{PRIMARY_METRIC}_high"):
        few, many = (evaluate_predictions(r, r["soh"] * (1 + r["error"]))[name] for r in (rows, often))
        assert few == pytest.approx(many)


def test_every_condition_has_its_interval_and_a_single_cell_has_none(rows: pd.DataFrame) -> None:
    scores = evaluate_predictions(rows, rows["soh"] * (1 + rows["error"]))
    mild, warm = scores["per_temperature"]
    assert (mild["mape"], warm["mape"]) == pytest.approx((0.35, 0.95))
    assert 0.0 <= mild["mape_low"] < 0.35 < mild["mape_high"] <= 0.7 + 1e-9
    assert 0.8 - 1e-9 <= warm["mape_low"] < 0.95
    stated, missing = scores["per_protocol"]
    assert (stated["protocol"], stated["n_cells"], missing["protocol"], missing["n_cells"]) == (
        "1C", 11, "not stated", 1,
    )  # fmt: skip
    assert (missing["mape_low"], missing["mape_high"]) == (None, None)


def test_errors_by_range_of_soh_count_only_the_checkups_in_it(rows: pd.DataFrame) -> None:
    aged = rows["soh"] < 0.75
    lines = {
        line["soh_range"]: line for line in evaluate_predictions(rows, rows["soh"] * (1 + 0.01 * aged))["per_soh_range"]
    }
    assert list(lines) == ["0.95 and above", "0.90 to 0.95", "0.80 to 0.85", "0.70 to 0.80", "below 0.70"]
    assert [line["n_rows"] for line in lines.values()] == [12] * 5
    assert lines["0.80 to 0.85"]["mape"] == pytest.approx(0.0)
    assert lines["below 0.70"]["mape"] == pytest.approx(1.0)


def test_every_soh_is_in_exactly_one_range() -> None:
    names = [soh_range(value) for value in np.linspace(0.3, 1.1, 801)]
    assert len(dict.fromkeys(names)) == len(SOH_EDGES) + 1
    assert names == sorted(names, key=list(dict.fromkeys(names)).index)


def test_a_figure_that_is_not_finite_has_no_interval() -> None:
    assert bounds("mape", [1.0, math.nan]) == {"mape_low": None, "mape_high": None}
