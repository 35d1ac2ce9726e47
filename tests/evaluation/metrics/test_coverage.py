"""Coverage and width of intervals on test cells, against counting by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from battery_core.evaluation.metrics.coverage import evaluate_intervals
from battery_core.uncertainty.conformal import Conformal

# at a prediction of 0.95 the fade scale is 0.1: half widths of 1 and 2 points
CONFORMAL = Conformal(0.9, {0.5: 0.1, 0.9: 0.2}, 9, 100).to_json()


def make_rows(errors: dict[str, list[float]]) -> pd.DataFrame:
    """Check-ups predicted at 0.95, off by these points."""
    parts = [
        pd.DataFrame({
            "cell_id": cell, "checkup_index": range(len(off)), "soh": 0.95 + np.array(off) / 100, "prediction": 0.95,
            "in_distribution": True, "outside": "", "soh_spread": np.nan,
            "ambient_temperature_degC": 25.0 if cell < "C" else np.nan, "group": cell,
        })
        for cell, off in errors.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def rows() -> pd.DataFrame:
    return make_rows({"A": [0.5, -1.5, 2.5, -0.5], "B": [0.5] * 10, "C": [3.0, 1.5]})


def test_coverage_is_the_mean_over_cells(rows: pd.DataFrame) -> None:
    scores = evaluate_intervals(rows, CONFORMAL)
    assert scores["coverage"] == pytest.approx((0.75 + 1.0 + 0.5) / 3)
    assert scores["width"] == pytest.approx(4.0)
    assert (scores["worst_cell"], scores["worst_cell_coverage"]) == ("C", 0.5)
    assert (scores["nominal"], scores["guaranteed"], scores["calibration_cells"]) == (0.9, pytest.approx(0.81), 9)
    assert scores["calibration_correction"] == 1.0
    assert (
        evaluate_intervals(rows, Conformal.from_json(CONFORMAL).corrected(1.1).to_json())["calibration_correction"]
        == 1.1
    )
    assert scores["coverage_low"] <= scores["coverage"] <= scores["coverage_high"]
    assert [(c["nominal"], c["width"]) for c in scores["calibration"]] == [
        (0.5, pytest.approx(2.0)),
        (0.9, pytest.approx(4.0)),
    ]
    assert scores["calibration"][0]["coverage"] == pytest.approx((0.5 + 1.0 + 0.0) / 3)


def test_coverage_is_told_per_condition(rows: pd.DataFrame) -> None:
    scores = evaluate_intervals(rows, CONFORMAL)
    by_temperature = {line["ambient_temperature_degC"]: line["coverage"] for line in scores["per_temperature"]}
    assert by_temperature == {25.0: pytest.approx(0.875), "not stated": 0.5}
    assert {line["group"]: line["n_cells"] for line in scores["per_group"]} == {"A": 1, "B": 1, "C": 1}


def test_what_is_1_by_definition_counts_nowhere(rows: pd.DataFrame) -> None:
    scores = evaluate_intervals(rows, CONFORMAL, reference="first_checkup")
    assert scores["coverage"] == pytest.approx((2 / 3 + 1.0 + 1.0) / 3)


def test_a_prediction_that_is_not_finite_holds_nothing(rows: pd.DataFrame) -> None:
    rows.loc[rows["cell_id"] == "B", "prediction"] = np.nan
    assert evaluate_intervals(rows, CONFORMAL)["coverage"] == pytest.approx((0.75 + 0.0 + 0.5) / 3)


def test_what_was_told_as_unknown_is_counted_with_its_columns(rows: pd.DataFrame) -> None:
    rows.loc[[0, 1, 4], "in_distribution"] = False
    rows.loc[[0, 1, 4], "outside"] = ["resistance_ohm", "group", "resistance_ohm"]
    told = evaluate_intervals(rows, CONFORMAL)["out_of_distribution"]
    assert told == {"share": pytest.approx(3 / 16), "columns": {"resistance_ohm": 2, "group": 1}}


def test_the_spread_of_an_ensemble_is_set_beside_its_error(rows: pd.DataFrame) -> None:
    assert evaluate_intervals(rows, CONFORMAL)["spread"] is None
    error = (rows["soh"] - rows["prediction"]).abs()
    spread = evaluate_intervals(rows.assign(soh_spread=2 * error), CONFORMAL)["spread"]
    assert spread["mean"] == pytest.approx(200 * error.mean())
    assert spread["rank_correlation_with_error"] == pytest.approx(1.0)
