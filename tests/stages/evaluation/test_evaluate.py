"""The report that compares the trained models with each other and with the baselines."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.artifacts import CandidateList, Evaluation, EvaluationReport, StageResult
from battery_core.cell_errors import as_worst
from battery_core.errors import TrainingError
from battery_core.evaluation.metrics.scores import evaluate_predictions
from battery_core.files import read_json
from battery_core.jobs import JobSpec
from battery_core.predictors.pipeline import Pipeline
from battery_core.stages.evaluation import evaluate as evaluation
from battery_core.stages.evaluation import select as selection
from battery_core.stages.training.candidate import PIPELINE_FOLDER
from battery_core.stages.training.ensemble import ensemble
from battery_core.uncertainty.conformal import Conformal

MODELS = ("lgbm", "mlp")


@pytest.fixture(scope="module")
def evaluated(
    prepared, trained: list[dict[str, Any]], evaluate_run: Any, tmp_path_factory: pytest.TempPathFactory
) -> StageResult:
    """The two trained models, evaluated once."""
    folder = tmp_path_factory.mktemp("evaluated")
    done: StageResult = evaluate_run(
        prepared.settings, prepared.tables, prepared.split, trained, folder, with_page=True
    )
    assert done.path == folder / "report.json"
    return done


@pytest.fixture
def report(evaluated: StageResult) -> dict[str, Any]:
    """What its report says."""
    content: dict[str, Any] = read_json(evaluated.path)
    return content


def test_the_report_is_complete(evaluated: StageResult, report: dict[str, Any], prepared) -> None:
    content = report
    assert (content["source"], content["simulated"], content["soh_reference"]) == ("xjtu", False, "nominal")
    assert content["data_version"] == prepared.raw.version
    assert content["split"]["version"] == prepared.split.version
    assert content["rows"] == {
        "rows_read": 144, "rows_kept": 144, "rows_quarantined": 0, "train": 72, "val": 24, "test": 48, "unused": 0,
    }  # fmt: skip
    assert [model["model"] for model in content["models"]] == list(MODELS)
    assert set(content["baselines"]) == {"train_mean", "linear_throughput", "persistence"}
    for scores in [*(m["test"] for m in content["models"]), *content["baselines"].values(), content["leak_probe"]]:
        assert (scores["n_rows"], scores["n_cells"]) == (48, 4)
        assert {cell["cell_id"] for cell in scores["per_cell"]} == set(content["split"]["test_cells"])
        assert scores["first_checkup"]["rmse"] >= 0
    shown = {"report.json", "report.html", "parity.png", "fade.png", "residuals.png", "learning.png", "shap.png"}
    assert shown <= {file.name for file in evaluated.path.parent.iterdir()}


def test_scores_are_those_of_the_kept_predictions(
    report: dict[str, Any], specs: dict[str, JobSpec], rows: pd.DataFrame
) -> None:
    test = rows[rows["subset"] == "test"]
    for entry in report["models"]:
        prediction = Pipeline.load(specs[entry["model"]].folder / PIPELINE_FOLDER).predict(test)
        assert entry["test"]["mean_cell_mape"] == pytest.approx(
            evaluate_predictions(test, prediction)["mean_cell_mape"], rel=1e-5
        )


def test_intervals_come_from_validation_cells_and_stand_in_the_report(
    report: dict[str, Any], specs: dict[str, JobSpec], rows: pd.DataFrame
) -> None:
    val, test = (rows[rows["subset"] == part] for part in ("val", "test"))
    for entry in report["models"]:
        pipeline = Pipeline.load(specs[entry["model"]].folder / PIPELINE_FOLDER)
        conformal = Conformal.conformalize(val["soh"], pipeline.predict(val), val["cell_id"])
        assert pipeline.conformal is not None
        assert pipeline.conformal.quantiles[0.9] == pytest.approx(conformal.quantiles[0.9], rel=1e-6)
        assert (pipeline.conformal.n_cells, pipeline.conformal.n_rows) == (2, len(val))
        lower, upper = conformal.bounds(pipeline.predict(test))
        inside = ((test["soh"] >= lower) & (test["soh"] <= upper)).groupby(test["cell_id"]).mean()
        assert entry["intervals"]["coverage"] == pytest.approx(inside.mean())
        assert entry["intervals"]["width"] == pytest.approx(100 * (upper - lower).mean(), rel=1e-5)  # cells of 12 rows
        assert entry["intervals"]["guaranteed"] == pytest.approx(0.9 * 2 / 3)


def test_the_challenger_is_chosen_on_validation_cells_not_on_test_cells(evaluated: StageResult, tmp_path: Path) -> None:
    measured = Evaluation.read(evaluated.path.with_name("evaluation.json"))
    best_on_test, other = sorted(measured.models, key=lambda model: as_worst(model.test.mean_cell_mape))
    changed = [
        model.model_copy(update={"val_mean_cell_mape": 4.0 if model is other else 5.0}) for model in measured.models
    ]
    measured.model_copy(update={"models": tuple(changed)}).write(tmp_path / "evaluation.json")
    done = selection.select(StageResult(tmp_path / "evaluation.json", "", False, ""))
    assert best_on_test.run_id != other.run_id
    assert EvaluationReport.read(done.path).chosen.run_id == other.run_id
    assert done.message.startswith(f"select: {other.model} is chosen on validation cells; ")
    assert f"{other.test.mean_cell_mape:.2f} %" in done.message


@pytest.mark.parametrize(("errors", "best"), [((4.0, 5.0), 0), ((5.0, 4.0), 1), ((None, 5.0), 1), ((math.nan, 5.0), 1)])
def test_a_model_without_an_error_on_validation_cells_comes_last(errors: tuple[float | None, ...], best: int) -> None:
    models = [{"run_id": run_id, "val_mean_cell_mape": error} for run_id, error in enumerate(errors)]
    assert selection.choose(models)["run_id"] == best


def test_the_mean_of_the_models_is_put_forward_where_it_was_made() -> None:
    models = [{"model": name, "val_mean_cell_mape": error} for name, error in (("mlp", 0.40), ("ensemble", 0.42))]
    assert selection.choose(models)["model"] == "ensemble"  # .02 less is what stopping on these cells makes of an mlp


def test_a_row_without_a_prediction_makes_the_headline_null(
    prepared, trained: list[dict[str, Any]], evaluate_run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read = evaluation.predictions_for

    def one_missing(folder: Path, test: pd.DataFrame) -> Any:
        return np.where(np.arange(len(test)) == 7, np.nan, read(folder, test))

    monkeypatch.setattr(evaluation, "predictions_for", one_missing)
    done = evaluate_run(prepared.settings, prepared.tables, prepared.split, trained, tmp_path)
    assert done.message.endswith("not finite on test cells")
    content = read_json(done.path)
    assert [m["test"]["mean_cell_mape"] for m in content["models"]] == [None, None]
    assert content["baselines"]["train_mean"]["mean_cell_mape"] > 0


def test_predictions_are_matched_by_cell_and_checkup(specs: dict[str, JobSpec], rows: pd.DataFrame) -> None:
    test = rows[rows["subset"] == "test"]
    folder = specs["lgbm"].folder
    straight = evaluation.predictions_for(folder, test)
    np.testing.assert_array_equal(evaluation.predictions_for(folder, test.iloc[::-1]), straight[::-1])
    stranger = evaluation.predictions_for(folder, test.iloc[:2].assign(cell_id=["nobody", test["cell_id"].iloc[1]]))
    assert np.isnan(stranger).tolist() == [True, False]


def test_without_a_result_there_are_no_candidates(prepared, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no training job left a result"):
        ensemble(prepared.settings, prepared.tables, prepared.split, [], tmp_path)


def test_each_stage_leaves_its_artefact(evaluated: StageResult) -> None:
    folder = evaluated.path.parent
    candidates, measured = CandidateList.read(folder / "candidates.json"), Evaluation.read(folder / "evaluation.json")
    report = EvaluationReport.read(evaluated.path)
    assert candidates.run_ids == tuple(model.run_id for model in measured.models)
    assert report.models == measured.models
    assert report.chosen.run_id == report.challenger
    assert [line.ks for line in report.data_drift] == sorted((line.ks or 0 for line in report.data_drift), reverse=True)
