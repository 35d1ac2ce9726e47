"""What people read: models, baselines and the probe in one table, and a line a condition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.evaluation.metrics.scores import evaluate_baselines, evaluate_predictions
from battery_core.files import read_json, write_json
from battery_core.reporting.tables.report import condition_table, model_table

TEMPERATURES = {"A": 10.0, "B": 25.0}


@pytest.fixture
def report(tmp_path) -> dict[str, Any]:
    """Two models; the second is better on test cells, the first on validation cells. Read back from JSON."""
    rows = pd.DataFrame([(c, i) for c in TEMPERATURES for i in range(3)], columns=["cell_id", "checkup_index"])
    rows["soh"] = 1.0 - 0.1 * rows["checkup_index"]
    rows = rows.assign(group="g", ambient_temperature_degC=rows["cell_id"].map(TEMPERATURES), throughput_Ah=1.0)
    train = rows.assign(throughput_Ah=rows["checkup_index"] * 10.0)
    baselines, probe = evaluate_baselines(train, rows)
    models = [
        {
            "model": "lgbm",
            "run_id": "r1",
            "val_mean_cell_mape": 1.0,
            "test": evaluate_predictions(rows, rows["soh"] * 1.02),
        },
        {
            "model": "mlp",
            "run_id": "r2",
            "val_mean_cell_mape": 1.5,
            "test": evaluate_predictions(rows, rows["soh"] * 0.99),
        },
    ]
    write_json(
        tmp_path / "report.json",
        {"models": models, "baselines": baselines, "leak_probe": probe, "challenger": "r1"},
    )
    return read_json(tmp_path / "report.json")


def test_the_leaderboard_orders_models_then_baselines_then_the_probe(report: dict[str, Any]) -> None:
    table = model_table(report)
    names = [row["model"] for row in table]
    assert names == ["mlp", "lgbm", "train_mean", "linear_throughput", "persistence", "leak_probe"]
    assert [row["MAPE per cell"] for row in table[:2]] == ["1.00 %", "2.00 %"]
    assert table[0]["note"] == "1.50 % on validation cells"
    assert table[1]["note"] == "1.00 % on validation cells, challenger"
    assert table[1]["worst cell"].endswith(" pt (A)")
    assert table[2]["note"] == "baseline: mean SOH of the training rows"
    assert "uses the end of life" in table[-1]["note"]


def test_a_model_without_finite_predictions_comes_last_and_says_so(report: dict[str, Any]) -> None:
    broken = report["models"][1]
    broken["val_mean_cell_mape"] = None
    broken["test"] |= {"mean_cell_mape": None, "mean_cell_rmse": np.nan, "worst_cell_rmse": None}
    broken["test"]["rows"]["r2"] = None
    row = model_table(report)[1]
    assert row["model"] == "mlp"
    assert (row["MAPE per cell"], row["RMSE per cell"], row["R2"]) == ("not finite", "not finite", "n/a")
    assert row["note"] == "not finite on validation cells"


def test_conditions_stand_side_by_side(report: dict[str, Any]) -> None:
    cold, mild = condition_table(report)
    assert (cold["condition"], mild["condition"]) == ("10 °C", "25 °C")
    assert (cold["lgbm"], cold["mlp"], cold["cells"]) == ("2.00 %", "1.00 %", "1")
    assert set(cold) == {"condition", "cells", "lgbm", "mlp", "train_mean", "linear_throughput", "persistence"}


def test_where_the_temperature_does_not_vary_the_groups_are_shown(report: dict[str, Any]) -> None:
    for scores in [m["test"] for m in report["models"]] + list(report["baselines"].values()):
        scores["per_temperature"] = scores["per_temperature"][:1]
    assert [row["condition"] for row in condition_table(report)] == ["g"]


def test_a_temperature_that_is_not_stated_has_no_unit(report: dict[str, Any]) -> None:
    for scores in [m["test"] for m in report["models"]] + list(report["baselines"].values()):
        scores["per_temperature"][1]["ambient_temperature_degC"] = "not stated"
    assert [row["condition"] for row in condition_table(report)] == ["10 °C", "temperature not stated"]


def test_where_both_vary_temperatures_and_groups_are_shown(report: dict[str, Any]) -> None:
    for scores in [m["test"] for m in report["models"]] + list(report["baselines"].values()):
        scores["per_group"] = [scores["per_group"][0] | {"group": name} for name in ("NCA", "NCM")]
    assert [row["condition"] for row in condition_table(report)] == ["10 °C", "25 °C", "NCA", "NCM"]
