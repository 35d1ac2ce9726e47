"""Scores against numbers worked out by hand: per cell first, then over cells, then by condition."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from battery_core.evaluation.metrics.scores import (
    PRIMARY_METRIC,
    evaluate_baselines,
    evaluate_predictions,
    probe_verdict,
)


@pytest.fixture
def rows() -> pd.DataFrame:
    """Cell A has four rows, cell B one: a mean over rows would hide B."""
    return pd.DataFrame(
        {
            "cell_id": ["A", "A", "A", "A", "B"],
            "checkup_index": [0, 1, 2, 3, 0],
            "soh": [1.0, 0.9, 0.8, 0.7, 0.5],
            "ambient_temperature_degC": [10.0, 10.0, 10.0, 10.0, 40.0],
            "group": ["g"] * 4 + ["h"],
        }
    )


PREDICTION = np.array([1.01, 0.9, 0.8, 0.7, 0.6])
A_MAPE, B_MAPE = 1.0 / 4, 20.0  # %
A_RMSE, B_RMSE = math.sqrt(0.01**2 / 4) * 100, 10.0  # SOH points


def test_every_cell_weighs_the_same(rows: pd.DataFrame) -> None:
    scores = evaluate_predictions(rows, PREDICTION)
    assert scores[PRIMARY_METRIC] == pytest.approx((A_MAPE + B_MAPE) / 2)
    assert scores["mean_cell_rmse"] == pytest.approx((A_RMSE + B_RMSE) / 2)
    assert scores["rows"]["mape"] == pytest.approx((1.0 + 20.0) / 5)  # over rows: beside it, never the headline
    assert (scores["n_rows"], scores["n_cells"]) == (5, 2)


def test_the_worst_cell_is_named(rows: pd.DataFrame) -> None:
    scores = evaluate_predictions(rows, PREDICTION)
    assert scores["worst_cell"] == "B"
    assert scores["worst_cell_rmse"] == pytest.approx(B_RMSE)
    a, b = scores["per_cell"]
    assert (a["cell_id"], a["n"], b["cell_id"], b["n"]) == ("A", 4, "B", 1)
    assert (a["mape"], a["rmse"], a["bias"]) == pytest.approx((A_MAPE, A_RMSE, 0.25))
    assert (b["mape"], b["rmse"], b["bias"]) == pytest.approx((B_MAPE, B_RMSE, 10.0))


def test_first_checkups_are_reported_apart(rows: pd.DataFrame) -> None:
    assert evaluate_predictions(rows, PREDICTION)["first_checkup"]["mae"] == pytest.approx((0.01 + 0.1) / 2)
    later = rows[rows["checkup_index"] > 0]
    assert evaluate_predictions(later, PREDICTION[1:4])["first_checkup"] is None


def test_a_first_checkup_that_is_one_by_definition_counts_nowhere_else(rows: pd.DataFrame) -> None:
    scores = evaluate_predictions(rows, PREDICTION, "first_checkup")
    later = (rows["checkup_index"] > 0).to_numpy()
    apart = evaluate_predictions(rows[later], np.asarray(PREDICTION)[later])
    assert scores["first_checkup"]["mae"] == pytest.approx((0.01 + 0.1) / 2)
    assert (
        scores["mean_cell_mape"] == apart["mean_cell_mape"] != evaluate_predictions(rows, PREDICTION)["mean_cell_mape"]
    )
    assert scores["n_rows"] == later.sum()


def test_conditions_are_means_over_their_cells(rows: pd.DataFrame) -> None:
    scores = evaluate_predictions(rows, PREDICTION)
    cold, hot = scores["per_temperature"]
    assert (cold["ambient_temperature_degC"], cold["n_cells"]) == (10.0, 1)
    assert cold["mape"] == pytest.approx(A_MAPE)
    assert hot["worst_rmse"] == pytest.approx(B_RMSE)
    assert [line["group"] for line in scores["per_group"]] == ["g", "h"]
    same = evaluate_predictions(rows.assign(group="g"), PREDICTION)["per_group"]
    assert len(same) == 1
    assert same[0]["mape"] == pytest.approx((A_MAPE + B_MAPE) / 2)


def test_cells_without_a_temperature_have_a_line_of_their_own(rows: pd.DataFrame) -> None:
    rows.loc[rows["cell_id"] == "B", "ambient_temperature_degC"] = np.nan
    lines = evaluate_predictions(rows, PREDICTION)["per_temperature"]
    assert [line["ambient_temperature_degC"] for line in lines] == [10.0, "not stated"]
    assert sum(line["n_cells"] for line in lines) == 2


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_one_prediction_that_is_not_finite_makes_the_headline_nan(rows: pd.DataFrame, broken: float) -> None:
    scores = evaluate_predictions(rows, np.where(np.arange(5) == 2, broken, PREDICTION))
    assert math.isnan(scores[PRIMARY_METRIC])
    assert math.isnan(scores["mean_cell_rmse"])
    assert scores["worst_cell"] == "A"  # the cell that is broken, not the one with the largest number
    assert math.isnan(scores["per_cell"][0]["mape"])
    assert scores["per_cell"][1]["mape"] == pytest.approx(B_MAPE)


def test_the_order_of_rows_plays_no_part(rows: pd.DataFrame) -> None:
    order = [4, 2, 0, 3, 1]
    assert (
        evaluate_predictions(rows.iloc[order], PREDICTION[order])["per_cell"]
        == evaluate_predictions(rows, PREDICTION)["per_cell"]
    )


def test_baselines_are_scored_like_models(rows: pd.DataFrame) -> None:
    train = rows.assign(cell_id="T", soh=0.8, throughput_Ah=[0.0, 1.0, 2.0, 3.0, 4.0])
    baselines, probe = evaluate_baselines(train, rows.assign(throughput_Ah=1.0))
    assert set(baselines) == {"train_mean", "linear_throughput", "persistence"}
    assert baselines["train_mean"] == evaluate_predictions(rows, np.full(5, 0.8))
    assert probe[PRIMARY_METRIC] == pytest.approx(baselines["train_mean"][PRIMARY_METRIC])


def test_a_probe_that_wins_says_the_evaluation_is_broken() -> None:
    said = probe_verdict({PRIMARY_METRIC: 2.0}, {PRIMARY_METRIC: 1.5})
    start = "the leak probe (fraction of life only) scores 1.50 %, better than the chosen model's 2.00 %"
    assert said.startswith(start)
    assert probe_verdict({PRIMARY_METRIC: 1.5}, {PRIMARY_METRIC: 1.5}) == ""
    assert probe_verdict({PRIMARY_METRIC: 1.0}, {PRIMARY_METRIC: math.nan}) == ""
