"""A job of each model on small cells, and the report that compares them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.data.sources.base import CHARGE_STATISTICS
from battery_core.data.splits import CellSplit
from battery_core.errors import TrainingError
from battery_core.evaluation.report import score
from battery_core.features.training_range import TrainingRange
from battery_core.files import read_json
from battery_core.jobs import JobSpec
from battery_core.models.conformal import Conformal
from battery_core.models.pipeline import Pipeline
from battery_core.settings import Settings
from battery_core.stages import chain
from battery_core.stages import evaluate as evaluation
from battery_core.stages.candidate import HISTORY_FILE, PIPELINE_FOLDER, PREDICTIONS_FILE, mean_cell_mape
from battery_core.stages.train import job_specs, labelled_rows, train
from battery_core.training.fitting import FITTERS

MODELS = ("lgbm", "mlp")


@pytest.fixture
def specs(prepared, trained: list[dict[str, Any]]) -> dict[str, JobSpec]:
    return {spec.model: spec for spec in job_specs(prepared.settings, prepared.tables, prepared.split)}


@pytest.fixture
def results(trained: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {result["model"]: result for result in trained}


@pytest.fixture
def rows(prepared) -> pd.DataFrame:
    split = CellSplit.from_json(prepared.split.path.read_text())
    return labelled_rows(prepared.tables.path, split, "nominal")


@pytest.mark.parametrize("model", MODELS)
def test_the_result_says_what_came_out(specs: dict[str, JobSpec], results: dict[str, Any], model: str) -> None:
    result = results[model]
    assert (result["model"], result["run_id"], result["key"]) == (model, specs[model].run_id, specs[model].key)
    assert result["n_train_rows"] == 6 * 12
    assert {*CHARGE_STATISTICS, "cycle_count"} <= set(result["features"])
    assert not {"capacity_Ah", "soh"} & set(result["features"])
    validation = pd.read_parquet(specs[model].folder / PREDICTIONS_FILE).query("part == 'val'")
    by_hand = [100 * (c["prediction"] / c["soh"] - 1).abs().mean() for _, c in validation.groupby("cell_id")]
    assert len(by_hand) == 2
    assert result["val_mean_cell_mape"] == pytest.approx(sum(by_hand) / 2)
    assert result["val_mean_cell_mape"] < 10  # it has learnt something: the cells fade by 7 %


@pytest.mark.parametrize("model", MODELS)
def test_the_run_folder_is_whole(specs: dict[str, JobSpec], rows: pd.DataFrame, model: str) -> None:
    folder = specs[model].folder
    assert read_json(folder / "run.json")["status"] == "FINISHED"
    assert read_json(folder / HISTORY_FILE)
    kept = pd.read_parquet(folder / PREDICTIONS_FILE)
    assert set(kept["part"]) == {"val", "test"}
    assert len(kept) == (2 + 4) * 12
    pipeline = Pipeline.load(folder / PIPELINE_FOLDER)
    judged = rows[rows["part"].isin(["val", "test"])]
    np.testing.assert_allclose(pipeline.predict(judged), kept["prediction"], rtol=1e-6)
    so_far = judged.iloc[12:18]  # the second cell from its beginning: some features look back
    assert pipeline.predict(so_far)[-1] == pytest.approx(kept["prediction"].iloc[17], rel=1e-5)


def test_a_model_carries_what_a_reader_must_know(specs: dict[str, JobSpec], prepared) -> None:
    facts = Pipeline.load(specs["lgbm"].folder / PIPELINE_FOLDER).facts
    split = CellSplit.from_json(prepared.split.path.read_text())
    assert facts["data_version"] == prepared.raw.version
    assert facts["tables_version"] == prepared.tables.version
    assert (facts["source"], facts["simulated"], facts["soh_reference"]) == ("xjtu", False, "nominal")
    assert set(facts["seen_cells"]) == {*split.train, *split.val}
    assert not set(facts["seen_cells"]) & set(split.test)


def test_only_what_shapes_a_model_is_in_its_key(
    prepared, specs: dict[str, JobSpec], xjtu_settings: Callable[..., Settings]
) -> None:
    root = prepared.settings.data.reference_root

    def keys(**changes: Any) -> dict[str, str]:
        settings = xjtu_settings(prepared.settings.paths.data.parent, root, **changes)
        return {spec.model: spec.key for spec in job_specs(settings, prepared.tables, prepared.split)}

    before = {model: spec.key for model, spec in specs.items()}
    assert keys() == before
    assert keys(jobs__timeout_s=5.0, release__min_gain=0.5) == before
    longer = keys(trainer__epochs=5)
    assert (longer["lgbm"], longer["mlp"] == before["mlp"]) == (before["lgbm"], False)
    assert not set(keys(seed=1).values()) & set(before.values())
    assert not set(keys(data__soh_reference="first_checkup").values()) & set(before.values())


def test_equal_specs_give_equal_models(specs: dict[str, JobSpec], tmp_path: Path) -> None:
    for model, spec in specs.items():
        again = JobSpec(**(spec.__dict__ | {"runs": str(tmp_path)}))
        train(again)
        first, second = (pd.read_parquet(s.folder / PREDICTIONS_FILE) for s in (spec, again))
        pd.testing.assert_frame_equal(first, second, obj=model)


def test_a_training_that_fails_is_written_down_as_failed(
    specs: dict[str, JobSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise TrainingError("loss is nan in epoch 3")

    monkeypatch.setattr(FITTERS["lgbm"], "fit", fail)
    spec = JobSpec(**(specs["lgbm"].__dict__ | {"runs": str(tmp_path)}))
    with pytest.raises(TrainingError, match="loss is nan"):
        train(spec)
    assert read_json(spec.folder / "run.json")["status"] == "FAILED"
    assert not (spec.folder / PIPELINE_FOLDER).exists()


@pytest.fixture(scope="module")
def of_histories(prepared, tmp_path_factory: pytest.TempPathFactory) -> dict[str, JobSpec]:
    """One trained job of each model that reads histories."""
    settings = prepared.settings.model_copy(update={"models": ("lstm", "neural_ode")})
    runs = str(tmp_path_factory.mktemp("histories"))
    specs = [
        dataclasses.replace(spec, runs=runs, settings=dict(spec.settings) | {"features": _short(spec)})
        for spec in job_specs(settings, prepared.tables, prepared.split)
    ]
    for spec in specs:
        train(spec)
    return {spec.model: spec for spec in specs}


def _short(spec: JobSpec) -> dict[str, Any]:
    return spec.settings["features"] | {"history_checkups": 4, "history_train_checkups": 6}


@pytest.mark.parametrize("model", ["lstm", "neural_ode"])
def test_a_model_of_histories_serves_what_was_scored(
    of_histories: dict[str, JobSpec], rows: pd.DataFrame, model: str
) -> None:
    spec = of_histories[model]
    pipeline = Pipeline.load(spec.folder / PIPELINE_FOLDER)
    assert (pipeline.histories, pipeline.feature_settings.history_time) == (True, "cycle_count")
    judged = rows[rows["part"].isin(["val", "test"])]
    kept = pd.read_parquet(spec.folder / PREDICTIONS_FILE)["prediction"].to_numpy()
    assert mean_cell_mape(judged.assign(prediction=kept)) < 10
    shuffled = judged.sample(frac=1, random_state=1)
    back = pd.Series(pipeline.predict(shuffled), index=shuffled.index).reindex(judged.index)
    np.testing.assert_allclose(back, kept, rtol=1e-6)  # in any order
    own = judged[judged["cell_id"] == judged["cell_id"].iloc[0]]
    np.testing.assert_allclose(pipeline.predict(own.iloc[:7]), kept[:7], rtol=1e-6)  # before the rest was measured
    assert abs(pipeline.predict(own.iloc[[6]])[0] / kept[6] - 1) > 1e-6  # the history is read


def test_settings_of_histories_are_in_the_key_of_models_that_read_them(prepared) -> None:
    def keys(**changes: Any) -> dict[str, str]:
        features = prepared.settings.features.model_copy(update=changes)
        settings = prepared.settings.model_copy(update={"features": features, "models": ("lgbm", "mlp", "lstm")})
        return {spec.model: spec.key for spec in job_specs(settings, prepared.tables, prepared.split)}

    before, after = keys(), keys(history_checkups=3)
    assert [model for model in before if before[model] != after[model]] == ["lstm"]


def test_the_error_is_a_mean_over_cells() -> None:
    table = pd.DataFrame({"cell_id": ["A", "A", "B"], "soh": [1.0, 0.5, 0.8], "prediction": [1.01, 0.5, 0.88]})
    assert mean_cell_mape(table) == pytest.approx((0.5 + 10.0) / 2)
    assert math.isnan(mean_cell_mape(table.assign(prediction=[1.0, np.nan, 0.8])))
    assert math.isnan(mean_cell_mape(table.assign(prediction=[1.0, np.inf, 0.8])))


# evaluate


@pytest.fixture
def report(prepared, trained: list[dict[str, Any]], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The report of the two results, with other validation errors where they are given."""

    def make(**val_error: float | None) -> dict[str, Any]:
        changed = [r | {"val_mean_cell_mape": val_error.get(r["model"], r["val_mean_cell_mape"])} for r in trained]
        done = evaluation.evaluate(prepared.settings, prepared.tables, prepared.split, changed, tmp_path / "report")
        assert done.path == tmp_path / "report" / "report.json"
        content: dict[str, Any] = read_json(done.path)
        return content | {"message": done.message}

    return make


def test_the_report_is_complete(report: Callable[..., dict[str, Any]], prepared, tmp_path: Path) -> None:
    content = report()
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
    assert shown <= {file.name for file in (tmp_path / "report").iterdir()}


def test_scores_are_those_of_the_kept_predictions(
    report: Callable[..., dict[str, Any]], specs: dict[str, JobSpec], rows: pd.DataFrame
) -> None:
    test = rows[rows["part"] == "test"]
    for entry in report()["models"]:
        prediction = Pipeline.load(specs[entry["model"]].folder / PIPELINE_FOLDER).predict(test)
        assert entry["test"]["mean_cell_mape"] == pytest.approx(score(test, prediction)["mean_cell_mape"], rel=1e-5)


def test_intervals_come_from_validation_cells_and_stand_in_the_report(
    report: Callable[..., dict[str, Any]], specs: dict[str, JobSpec], rows: pd.DataFrame
) -> None:
    val, test = (rows[rows["part"] == part] for part in ("val", "test"))
    for entry in report()["models"]:
        pipeline = Pipeline.load(specs[entry["model"]].folder / PIPELINE_FOLDER)
        conformal = Conformal.calibrate(val["soh"], pipeline.predict(val), val["cell_id"])
        assert pipeline.conformal is not None
        assert pipeline.conformal.quantiles[0.9] == pytest.approx(conformal.quantiles[0.9], rel=1e-6)
        assert (pipeline.conformal.n_cells, pipeline.conformal.n_rows) == (2, len(val))
        lower, upper = conformal.bounds(pipeline.predict(test))
        inside = ((test["soh"] >= lower) & (test["soh"] <= upper)).groupby(test["cell_id"]).mean()
        assert entry["intervals"]["coverage"] == pytest.approx(inside.mean())
        assert entry["intervals"]["width"] == pytest.approx(100 * (upper - lower).mean(), rel=1e-5)  # cells of 12 rows
        assert entry["intervals"]["guaranteed"] == pytest.approx(0.9 * 2 / 3)


def test_the_range_of_training_is_that_of_training_cells_alone(specs: dict[str, JobSpec], rows: pd.DataFrame) -> None:
    pipeline = Pipeline.load(specs["lgbm"].folder / PIPELINE_FOLDER)
    seen = TrainingRange.of(rows[rows["part"] == "train"], pipeline.raw_columns)
    assert pipeline.training_range == seen
    assert seen != TrainingRange.of(rows, pipeline.raw_columns)


def test_the_challenger_is_chosen_on_validation_cells_not_on_test_cells(
    report: Callable[..., dict[str, Any]], specs: dict[str, JobSpec]
) -> None:
    errors = {m["model"]: m["test"]["mean_cell_mape"] for m in report()["models"]}
    best_on_test, other = sorted(errors, key=lambda model: errors[model])
    content = report(**{best_on_test: 5.0, other: 4.0})
    assert content["challenger"] == specs[other].run_id
    assert content["message"].startswith(f"evaluate: {other} is the best on validation cells; {errors[other]:.2f} %")
    assert report(**{best_on_test: 4.0, other: 5.0})["challenger"] == specs[best_on_test].run_id
    assert report(**{best_on_test: None, other: 5.0})["challenger"] == specs[other].run_id
    assert report(**{best_on_test: math.nan, other: 5.0})["challenger"] == specs[other].run_id


def test_a_row_without_a_prediction_makes_the_headline_null(
    prepared, trained: list[dict[str, Any]], specs: dict[str, JobSpec], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read = evaluation.predictions_for

    def one_missing(folder: Path, test: pd.DataFrame) -> Any:
        return np.where(np.arange(len(test)) == 7, np.nan, read(folder, test))

    monkeypatch.setattr(evaluation, "predictions_for", one_missing)
    done = evaluation.evaluate(prepared.settings, prepared.tables, prepared.split, trained, tmp_path)
    assert done.message.endswith("not finite on test cells")
    content = read_json(done.path)
    assert [m["test"]["mean_cell_mape"] for m in content["models"]] == [None, None]
    assert content["baselines"]["train_mean"]["mean_cell_mape"] > 0


def test_predictions_are_matched_by_cell_and_checkup(specs: dict[str, JobSpec], rows: pd.DataFrame) -> None:
    test = rows[rows["part"] == "test"]
    folder = specs["lgbm"].folder
    straight = evaluation.predictions_for(folder, test)
    np.testing.assert_array_equal(evaluation.predictions_for(folder, test.iloc[::-1]), straight[::-1])
    stranger = evaluation.predictions_for(folder, test.iloc[:2].assign(cell_id=["nobody", test["cell_id"].iloc[1]]))
    assert np.isnan(stranger).tolist() == [True, False]


def test_without_a_result_there_is_no_report(prepared, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no training job left a result"):
        evaluation.evaluate(prepared.settings, prepared.tables, prepared.split, [], tmp_path)


def test_by_hand_standing_results_are_not_trained_again(
    prepared, trained: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("battery_core.jobs._run_process", lambda *_: pytest.fail("trained again"))
    lines = list(chain.run_stage("train", prepared.settings))
    assert [line.split(": ")[0] for line in lines] == ["normalize", "split", "train", "train"]
    assert lines[-1].endswith(f"{trained[1]['val_mean_cell_mape']:.2f} % on validation cells")
    *_, said = chain.run_stage("evaluate", prepared.settings)
    assert said.startswith("evaluate: ")
    assert (prepared.settings.folder("artifacts") / "reports" / "xjtu-by-hand" / "report.json").is_file()
