"""The four metrics against scikit-learn and the corrected example of the guide."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, mean_squared_error, r2_score

from battery_core.errors import DataError
from battery_core.training.metrics import compute_metrics, print_metrics


def test_metrics_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    true, pred = rng.uniform(0.7, 1, 50), rng.uniform(0.7, 1, 50)
    got = compute_metrics(true.reshape(-1, 1), pred)
    want = {
        "rmse": mean_squared_error(true, pred) ** 0.5,
        "mae": mean_absolute_error(true, pred),
        "mape": 100 * mean_absolute_percentage_error(true, pred),
        "r2": r2_score(true, pred),
    }
    assert got == pytest.approx(want, rel=1e-12)


def test_the_guides_example(capsys: pytest.CaptureFixture[str]) -> None:
    print_metrics(compute_metrics([0.95, 0.90, 0.85], [0.94, 0.91, 0.86]))
    assert capsys.readouterr().out.split() == ["RMSE:", "0.0100", "MAE:", "0.0100", "MAPE:", "1.11%", "R²:", "0.9400"]


def test_unlabelled_rows_are_left_out_and_a_bad_estimate_is_not() -> None:
    assert compute_metrics([1.0, np.nan, 0.5], [1.0, 9.0, 0.5])["rmse"] == 0.0
    assert np.isnan(compute_metrics([1.0, 0.5], [1.0, np.nan])["rmse"])


def test_constant_target_has_no_r2() -> None:
    assert np.isnan(compute_metrics([0.9, 0.9], [0.9, 0.8])["r2"])


@pytest.mark.parametrize(
    ("true", "pred", "message"),
    [
        ([1.0, 2.0], [1.0], r"metrics: y_true has 2 values, y_pred 1"),
        ([np.nan], [1.0], r"metrics: none of the 1 rows has a label"),
        ([], [], r"metrics: none of the 0 rows has a label"),
    ],
)
def test_wrong_input_is_named(true: list[float], pred: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        compute_metrics(true, pred)
