"""Errors of cells, then over cells, then over seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from battery_core.evaluation.benchmark.aggregate import aggregate, errors_by_cell, is_goal_met
from battery_core.evaluation.metrics.scores import evaluate_predictions


@pytest.fixture
def rows() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    cells = np.repeat(["A", "B", "C"], [5, 9, 2])
    return pd.DataFrame(
        {
            "cell_id": cells,
            "checkup_index": np.r_[0:5, 0:9, 0:2],
            "group": np.where(cells == "C", "slow", "fast"),
            "ambient_temperature_degC": 25.0,
            "soh": generator.uniform(0.7, 1.0, 16),
        }
    )


def test_cells_err_as_the_report_says(rows) -> None:
    prediction = rows["soh"] + np.random.default_rng(1).normal(0, 0.02, len(rows))
    report = evaluate_predictions(rows, prediction.to_numpy())
    ours = errors_by_cell(rows, prediction)
    theirs = pd.DataFrame(report["per_cell"])
    assert ours["mape"].tolist() == pytest.approx(theirs["mape"].tolist())
    assert ours["rmse"].tolist() == pytest.approx(theirs["rmse"].tolist())
    assert ours["mape"].mean() == pytest.approx(report["mean_cell_mape"])
    assert ours["mape"].mean() != pytest.approx(report["rows"]["mape"], rel=1e-3)  # each cell counts once, not each row


def test_a_prediction_that_is_not_finite_never_wins(rows) -> None:
    broken = rows["soh"].where(rows.index != 3, np.nan)
    assert errors_by_cell(rows, broken)["mape"].tolist() == [np.inf, 0.0, 0.0]
    good = errors_by_cell(rows, rows["soh"] * 1.2).assign(model="good", seed=0)
    found = aggregate(pd.concat([errors_by_cell(rows, broken).assign(model="broken", seed=0), good]))
    assert [line["model"] for line in found] == ["good", "broken"]
    assert not is_goal_met(found[1], 1e9)


def test_mean_over_cells_then_over_seeds(rows) -> None:
    parts = [
        errors_by_cell(rows, rows["soh"] * (1.01 + 0.01 * seed)).assign(model="m", seed=seed) for seed in (0, 1, 2)
    ]
    worse_in_slow = np.where(rows["group"] == "slow", 1.09, 1.01)
    parts += [errors_by_cell(rows, rows["soh"] * worse_in_slow).assign(model="n", seed=0)]
    m, n = aggregate(pd.concat(parts))
    assert (m["mape"]["mean"], m["mape"]["sd"]) == (pytest.approx(2.0), pytest.approx(1.0))  # 1, 2 and 3 %
    assert m["mape"]["seeds"] == {"0": 1.0, "1": 2.0, "2": 3.0}
    assert n["mape"]["mean"] == pytest.approx((1 + 1 + 9) / 3, abs=1e-4)
    assert n["mape"]["sd"] is None  # one seed has no spread
    assert {name: group["mean"] for name, group in n["groups"].items()} == {"fast": 1.0, "slow": 9.0}
    assert (n["worst_cell"], n["worst_mape"]) == ("C", pytest.approx(9.0))
    assert is_goal_met(m, 2.0)
    assert not is_goal_met(m, 1.99)
