"""Errors of each cell against loops written by hand, against the code they replaced, and where values are missing."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from battery_core.cell_errors import as_worst, cell_mape, mean_over_cells, means_by_cell, relative_errors
from battery_core.errors import DataError
from battery_core.evaluation.benchmark.aggregate import errors_by_cell
from battery_core.evaluation.cross_validation import score_cells
from battery_core.evaluation.metrics.confidence import soh_range
from battery_core.evaluation.metrics.per_cell import (
    CellErrors,
    drop_reference_checkup,
    is_first_checkup,
    per_cell_errors,
    rows_to_score,
)
from battery_core.evaluation.metrics.scores import PRIMARY_METRIC, evaluate_predictions
from battery_core.predictors.ensemble_weights import weights_by_error


def errors_of(rows: pd.DataFrame) -> CellErrors:
    return per_cell_errors(rows["cell_id"], rows["soh"], rows["prediction"])


@pytest.fixture
def rows() -> pd.DataFrame:
    """Cells of 1 to 40 check-ups in mixed order, with an index that is not the position."""
    generator = np.random.default_rng(3)
    cells = np.repeat([f"cell {i:02d}" for i in range(12)], [1, 1, 2, 3, 5, 8, 13, 21, 34, 40, 7, 9])
    table = pd.DataFrame({"cell_id": cells, "soh": generator.uniform(0.6, 1.05, len(cells))})
    table["checkup_index"] = table.groupby("cell_id").cumcount() + 3
    table["prediction"] = table["soh"] + generator.normal(0, 0.02, len(cells))
    table = table.assign(group="g", ambient_temperature_degC=25.0)
    return table.sample(frac=1, random_state=4)


def broken(rows: pd.DataFrame, value: float) -> pd.DataFrame:
    """Of one cell of many check-ups and of one with a single check-up."""
    at = rows["cell_id"].eq("cell 00") | (rows["cell_id"].eq("cell 07") & rows["checkup_index"].eq(9))
    return rows.assign(prediction=rows["prediction"].mask(at, value))


def by_hand(rows: pd.DataFrame) -> dict[str, tuple[int, float, float, float]]:
    """A plain loop over rows: number, MAPE in %, RMSE, bias."""
    said: dict[str, list[tuple[float, float]]] = {}
    for _, row in rows.iterrows():
        said.setdefault(str(row["cell_id"]), []).append((float(row["soh"]), float(row["prediction"])))
    table = {}
    for cell, pairs in said.items():
        off = [p - s for s, p in pairs]
        percent = math.fsum(100 * abs(p - s) / s for s, p in pairs) / len(pairs)
        table[cell] = (
            len(pairs), percent, math.sqrt(math.fsum(o * o for o in off) / len(off)), math.fsum(off) / len(off)
        )  # fmt: skip
    return table


def test_errors_are_those_of_a_loop_by_hand(rows: pd.DataFrame) -> None:
    errors, expected = errors_of(rows), by_hand(rows)
    assert list(errors.cell_ids) == sorted(expected)
    for line in errors.frame().to_dict(orient="records"):
        assert (line["n"], line["mape"], line["rmse"], line["bias"]) == pytest.approx(expected[line["cell_id"]])
    assert errors.mean_mape == pytest.approx(np.mean([mape for _, mape, _, _ in expected.values()]))
    assert errors.mean_rmse == pytest.approx(np.mean([rmse for _, _, rmse, _ in expected.values()]))


def test_figures_worked_out_on_paper() -> None:
    errors = per_cell_errors(["B", "A", "A"], [0.8, 1.0, 0.5], [0.88, 1.01, 0.5])
    assert errors.cell_ids.tolist() == ["A", "B"]
    assert errors.n_rows.tolist() == [2, 1]
    assert errors.mape.tolist() == pytest.approx([0.5, 10.0])
    assert errors.rmse.tolist() == pytest.approx([0.01 / math.sqrt(2), 0.08])
    assert errors.bias.tolist() == pytest.approx([0.005, 0.08])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_makes_its_cell_nan_and_the_mean(rows: pd.DataFrame, value: float) -> None:
    whole, errors = errors_of(rows), errors_of(broken(rows, value))
    is_broken = np.isin(errors.cell_ids, ["cell 00", "cell 07"])
    for name in ("mape", "rmse", "bias"):
        assert np.isnan(getattr(errors, name)[is_broken]).all()
        assert getattr(errors, name)[~is_broken].tolist() == getattr(whole, name)[~is_broken].tolist()
    assert math.isnan(errors.mean_mape)
    assert math.isnan(errors.mean_rmse)
    assert errors.n_rows.tolist() == whole.n_rows.tolist()


def test_opposite_infinities_do_not_cancel() -> None:
    errors = per_cell_errors(["A", "A"], [1.0, 1.0], [math.inf, -math.inf])
    assert np.isnan([errors.mape[0], errors.rmse[0], errors.bias[0]]).all()


def test_nan_is_the_worst_wherever_errors_are_sorted(rows: pd.DataFrame) -> None:
    errors = errors_of(broken(rows, math.nan))
    assert errors.worst_first()[:2] == ["cell 00", "cell 07"]
    assert errors.worst_first()[-1] == errors.cell_ids[int(np.nanargmin(errors.mape))]
    assert errors.as_worst().mean_mape == math.inf
    assert errors.as_worst().frame()["mape"].mean() == math.inf  # pandas would skip NaN
    assert sorted([math.nan, 2.0, 1.0], key=as_worst)[:2] == [1.0, 2.0]


def test_a_measured_value_that_is_missing_or_0_has_no_percentage_error() -> None:
    missing = per_cell_errors(["A", "B"], [math.nan, 1.0], [1.0, 1.0])
    assert np.isnan([missing.mape[0], missing.rmse[0]]).all()
    dead = per_cell_errors(["A", "A"], [0.0, 1.0], [0.1, 1.0])
    assert math.isnan(dead.mape[0])
    assert dead.rmse[0] == pytest.approx(0.1 / math.sqrt(2))


def test_no_rows_have_no_error() -> None:
    errors = per_cell_errors([], [], [])
    assert (len(errors.cell_ids), len(errors.frame())) == (0, 0)
    assert math.isnan(errors.mean_mape)
    assert errors.worst_first() == []


def test_rows_are_matched_by_position() -> None:
    said = pd.Series([0.9, 0.5], index=[7, 6])
    assert per_cell_errors(pd.Series(["A", "B"]), pd.Series([0.9, 0.5], index=[6, 7]), said).mean_mape == 0.0


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(DataError, match="got 2, 2 and 1"):
        per_cell_errors(["A", "B"], [1.0, 1.0], [1.0])
    with pytest.raises(DataError, match="1 of 2 rows have no cell_id"):
        per_cell_errors(["A", None], [1.0, 1.0], [1.0, 1.0])


def test_categories_without_rows_are_no_cells() -> None:
    cells = pd.Series(pd.Categorical(["B", "B"], categories=["A", "B"]))
    assert per_cell_errors(cells, [1.0, 1.0], [1.0, 1.0]).frame()["cell_id"].tolist() == ["B"]


def test_several_targets_are_averaged_in_each_row() -> None:
    soh, said = np.array([[1.0, 2.0], [0.5, 1.0]]), np.array([[1.1, 2.0], [0.5, 1.2]])
    assert cell_mape(np.array([0, 0]), soh, said).tolist() == pytest.approx([7.5])  # (10 + 0) / 2 and (0 + 20) / 2
    assert means_by_cell(np.array([0, 1, 1]), [1.0, 2.0, 4.0]).tolist() == [1.0, 3.0]
    assert relative_errors([[0.5]], [[0.4]]).shape == (1, 1)


# The first check-up where SOH is relative to it


def test_only_another_reference_keeps_the_first_checkup(rows: pd.DataFrame) -> None:
    assert drop_reference_checkup(rows, "nominal") is rows
    left = drop_reference_checkup(rows, "first_checkup")
    expected = [i for i, row in rows.iterrows() if row["checkup_index"] > 3]  # each cell starts at 3 here
    assert left.index.tolist() == expected  # the order of the rows is kept
    assert {"cell 00", "cell 01"}.isdisjoint(left["cell_id"])  # one check-up: nothing to judge


def test_the_first_is_told_by_its_index_in_any_order() -> None:
    rows = pd.DataFrame({"cell_id": ["A", "B", "A", "A", "C"], "checkup_index": [9, 0, 2, 5, 7]}, index=[1, 1, 2, 3, 4])
    assert is_first_checkup(rows).tolist() == [False, True, True, False, True]
    assert drop_reference_checkup(rows, "first_checkup")["checkup_index"].tolist() == [9, 5]
    assert drop_reference_checkup(rows.iloc[:0], "first_checkup").empty


def test_a_report_needs_a_checkup_that_is_not_1_by_definition() -> None:
    rows = pd.DataFrame({"cell_id": ["A", "B"], "checkup_index": 0, "soh": 1.0, "prediction": 1.0})
    rows = rows.assign(group="g", ambient_temperature_degC=25.0)
    assert len(rows_to_score(rows, "nominal")) == 2
    with pytest.raises(DataError, match=r"got none in 2 cells - give cells with two check-ups or more"):
        rows_to_score(rows, "first_checkup")
    with pytest.raises(DataError, match="is the test subset empty"):
        rows_to_score(rows.iloc[:0], "nominal")
    with pytest.raises(DataError, match="1 by definition"):
        evaluate_predictions(rows, rows["prediction"].to_numpy(), "first_checkup")


# The implementations that this one replaced, as they were


def old_candidate(rows: pd.DataFrame) -> float:
    relative = (rows["prediction"] / rows["soh"] - 1).abs() * 100
    return float(relative.groupby(rows["cell_id"]).mean().mean()) if np.isfinite(relative).all() else math.nan


def old_report(frame: pd.DataFrame) -> pd.DataFrame:
    error = frame["prediction"] - frame["soh"]
    parts = frame.assign(square=error**2, relative=(error / frame["soh"]).abs() * 100, bias=error)
    cells = parts.groupby("cell_id", sort=True)[["relative", "square", "bias"]].mean()
    cells.loc[frame.loc[~np.isfinite(frame["prediction"]), "cell_id"].unique()] = np.nan
    return pd.DataFrame(
        {"mape": cells["relative"], "rmse": 100 * np.sqrt(cells["square"]), "bias": 100 * cells["bias"]}
    )


def old_standings(rows: pd.DataFrame) -> pd.Series:
    error = (rows["prediction"] - rows["soh"]).replace([np.inf, -np.inf], np.nan).fillna(np.inf)
    return ((error / rows["soh"]).abs() * 100).groupby(rows["cell_id"]).mean()


def old_cross_validation(rows: pd.DataFrame) -> pd.Series:
    relative = ((rows["prediction"] / rows["soh"] - 1).abs() * 100).fillna(float("inf"))
    return relative.groupby(rows["cell_id"]).mean()


def old_shares(rows: pd.DataFrame, predictions: dict[str, npt.NDArray[np.float64]]) -> dict[str, float]:
    truth, cell = rows["soh"].to_numpy(), np.unique(rows["cell_id"], return_inverse=True)[1]
    weights = {
        name: max(float((np.bincount(cell, np.abs(said / truth - 1)) / np.bincount(cell)).mean()), 1e-9) ** -2
        for name, said in predictions.items()
        if np.isfinite(said).all()
    }
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def old_kernel(rows: pd.DataFrame) -> float:
    cell = np.unique(rows["cell_id"], return_inverse=True)[1]
    relative = np.abs(rows[["prediction"]].to_numpy() / rows[["soh"]].to_numpy() - 1).mean(axis=1) * 100
    return float((np.bincount(cell, relative) / np.bincount(cell)).mean())


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_figures_are_those_of_the_code_before(rows: pd.DataFrame, value: float | None) -> None:
    rows = rows if value is None else broken(rows, value)
    exact = {"rel": 1e-11, "nan_ok": True}
    errors = errors_of(rows)
    assert errors.mean_mape == pytest.approx(old_candidate(rows), **exact)
    report, expected = evaluate_predictions(rows, rows["prediction"].to_numpy()), old_report(rows)
    table = pd.DataFrame(report["per_cell"]).set_index("cell_id")
    for name in ("mape", "rmse", "bias"):
        assert table[name].tolist() == pytest.approx(expected[name].tolist(), abs=1e-12, **exact)
    assert report[PRIMARY_METRIC] == pytest.approx(expected["mape"].mean(skipna=False), **exact)
    assert errors_by_cell(rows, rows["prediction"])["mape"].tolist() == pytest.approx(old_standings(rows).tolist())
    assert score_cells(rows)["mape"].tolist() == pytest.approx(old_cross_validation(rows).tolist())
    codes = np.unique(rows["cell_id"], return_inverse=True)[1]
    ours = mean_over_cells(cell_mape(codes, rows[["soh"]], rows[["prediction"]]))
    assert ours == pytest.approx(old_kernel(rows) if value is None else math.nan, **exact)


def test_weights_are_those_of_the_code_before(rows: pd.DataFrame) -> None:
    generator = np.random.default_rng(8)
    soh = rows["soh"].to_numpy()
    says = {f"model {i}": soh * (1 + generator.normal(0, 0.005 * (i + 1), len(rows))) for i in range(4)}
    says["gap"] = np.where(np.arange(len(rows)) == 5, np.nan, soh)
    assert weights_by_error(soh, rows["cell_id"], says) == pytest.approx(old_shares(rows, says), abs=2e-12)
    assert weights_by_error(soh, rows["cell_id"], {"exact": soh, "off": soh * 1.1})["exact"] == pytest.approx(1.0)


def test_a_cell_without_a_finite_error_is_not_left_out_of_its_condition(rows: pd.DataFrame) -> None:
    rows = broken(rows, math.nan).assign(group=lambda r: np.where(r["cell_id"] == "cell 07", "bad", "mixed"))
    rows.loc[rows["cell_id"] == "cell 00", "group"] = "bad"
    report = evaluate_predictions(rows, rows["prediction"].to_numpy())
    bad, mixed = report["per_group"]
    assert np.isnan([bad["mape"], bad["rmse"], bad["worst_rmse"], report["per_temperature"][0]["mape"]]).all()
    assert np.isfinite([mixed["mape"], mixed["rmse"], mixed["worst_rmse"]]).all()
    lines = {line["soh_range"]: line for line in report["per_soh_range"]}
    expected = {soh_range(soh) for soh in rows.loc[rows["prediction"].isna(), "soh"]}
    assert {name for name, line in lines.items() if math.isnan(line["mape"])} == expected
    assert sum(line["n_rows"] for line in lines.values()) == len(rows)
