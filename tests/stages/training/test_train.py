"""A job of each model on small cells: what it leaves, what its key depends on, what serves later."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.data.sources.base import CHARGE_STATISTICS
from battery_core.data.splits.cell_split import CellSplit
from battery_core.errors import TrainingError
from battery_core.evaluation.metrics.per_cell import per_cell_errors
from battery_core.files import read_json
from battery_core.jobs import JobSpec
from battery_core.models.lgbm import LGBMModel
from battery_core.predictors.pipeline import Pipeline
from battery_core.settings import Settings
from battery_core.stages import run_stage as chain
from battery_core.stages.training.candidate import HISTORY_FILE, PIPELINE_FOLDER, PREDICTIONS_FILE
from battery_core.stages.training.job_specs import job_specs
from battery_core.stages.training.train import train
from battery_core.uncertainty.training_domain import TrainingDomain

MODELS = ("lgbm", "mlp")


@pytest.fixture
def results(trained: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {result["model"]: result for result in trained}


@pytest.mark.parametrize("model", MODELS)
def test_the_result_says_what_came_out(specs: dict[str, JobSpec], results: dict[str, Any], model: str) -> None:
    result = results[model]
    assert (result["model"], result["run_id"], result["key"]) == (model, specs[model].run_id, specs[model].key)
    assert result["n_train_rows"] == 6 * 12
    assert result["device"] == "cpu"
    assert result["precision"] == {"lgbm": "float32, sums float64", "mlp": "float32"}[model]
    assert {*CHARGE_STATISTICS, "cycle_count"} <= set(result["features"])
    assert not {"capacity_Ah", "soh"} & set(result["features"])
    validation = pd.read_parquet(specs[model].folder / PREDICTIONS_FILE).query("subset == 'val'")
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
    assert set(kept["subset"]) == {"val", "test"}
    assert len(kept) == (2 + 4) * 12
    pipeline = Pipeline.load(folder / PIPELINE_FOLDER)
    judged = rows[rows["subset"].isin(["val", "test"])]
    np.testing.assert_allclose(pipeline.predict(judged), kept["prediction"], rtol=1e-6)
    so_far = judged.iloc[12:18]  # the second cell from its beginning: some features look back
    assert pipeline.predict(so_far)[-1] == pytest.approx(kept["prediction"].iloc[17], rel=1e-5)


def test_a_model_carries_what_a_reader_must_know(specs: dict[str, JobSpec], prepared) -> None:
    facts = Pipeline.load(specs["lgbm"].folder / PIPELINE_FOLDER).metadata
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
    assert keys(jobs__timeout_s=5.0, release__min_improvement=0.5) == before
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

    monkeypatch.setattr(LGBMModel, "fit", fail)
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
    assert (pipeline.feature_pipeline.takes_sequences, pipeline.feature_pipeline.settings.history_time) == (
        True,
        "cycle_count",
    )
    judged = rows[rows["subset"].isin(["val", "test"])]
    kept = pd.read_parquet(spec.folder / PREDICTIONS_FILE)["prediction"].to_numpy()
    assert per_cell_errors(judged["cell_id"], judged["soh"], kept).mean_mape < 10
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


def test_the_range_of_training_is_that_of_training_cells_alone(specs: dict[str, JobSpec], rows: pd.DataFrame) -> None:
    pipeline = Pipeline.load(specs["lgbm"].folder / PIPELINE_FOLDER)
    seen = TrainingDomain.of(rows[rows["subset"] == "train"], pipeline.raw_columns)
    assert pipeline.training_domain == seen
    assert seen != TrainingDomain.of(rows, pipeline.raw_columns)


def test_by_hand_standing_results_are_not_trained_again(
    prepared, trained: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("battery_core.jobs._run_process", lambda *_: pytest.fail("trained again"))
    lines = list(chain.run_stage("train", prepared.settings))
    assert [line.split(": ")[0] for line in lines] == ["train", "train"]
    assert lines[-1].endswith(f"{trained[1]['val_mean_cell_mape']:.2f} % on validation cells")
    for stage, file in (("ensemble", "candidates.json"), ("evaluate", "evaluation.json"), ("select", "report.json")):
        *_, line = chain.run_stage(stage, prepared.settings)
        assert line.startswith(f"{stage}: ")
        assert (prepared.settings.folder("artifacts") / "reports" / "xjtu-by-hand" / file).is_file()
