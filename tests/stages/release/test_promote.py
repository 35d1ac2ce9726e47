"""The end of a night in a real registry: a first champion, then a contest on the same rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.artifacts import Comparison
from battery_core.data.splits.cell_split import CellSplit
from battery_core.evaluation.metrics.scores import evaluate_baselines, evaluate_predictions
from battery_core.features.sets.charge import ChargeFeatures
from battery_core.files import read_json
from battery_core.predictors.pipeline import Pipeline
from battery_core.release.champion_scoring import ChampionScoringError, PackagePredictions
from battery_core.release.model_registry import ModelRegistry, Version
from battery_core.release.package.mlflow_model import log_pipeline
from battery_core.release.provenance import CodeState
from battery_core.settings import Settings
from battery_core.stages import registry as run_registry
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.release import compare as comparing
from battery_core.stages.release import promote as releasing
from battery_core.stages.release.compare import NONE_SERVES, Champion, asking
from battery_core.stages.release.compare import compare_with_champion as judge_contest
from battery_core.stages.release.log_run import log_onnx
from battery_core.stages.training.candidate import PIPELINE_FOLDER

GIVEN = "rows[usable(rows, self.uses)]"
"""What the charge features are, in their code."""


@pytest.fixture(scope="module")
def night(prepared, trained: list[dict[str, Any]], evaluate_run, new_store, tmp_path_factory: pytest.TempPathFactory):
    """Settings with a fresh registry, and a report to release."""
    uri = new_store(tmp_path_factory.mktemp("night"))
    settings: Settings = prepared.settings.model_copy(
        update={"tracking": prepared.settings.tracking.model_copy(update={"mlflow_uri": uri})}
    )
    folder = settings.folder("artifacts") / "reports" / "night-1"
    return settings, evaluate_run(settings, prepared.tables, prepared.split, trained, folder)


def test_the_first_wins_the_second_is_no_better(
    night, prepared, trained: list[dict[str, Any]], evaluate_run, release_run, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, report = night
    settings = settings.model_copy(update={"release": settings.release.model_copy(update={"required_baselines": ()})})
    for module in (comparing, releasing):
        monkeypatch.setattr(module, "code_state", lambda: CodeState("c0ffee", ()))
    first = release_run(settings, prepared.tables, prepared.split, report, "night-1")
    assert (first.version, first.champion, first.promoted) == (1, 1, True)
    assert first.reason.startswith("first champion: ")
    kept = read_json(report.path.parent / releasing.OUTCOME_FILE)
    assert kept["tags"]["data_version"] == prepared.raw.version
    assert kept["comparison"]["champion"] is None
    assert Comparison.read(report.path.with_name("comparison.json")).promote
    again = evaluate_run(settings, prepared.tables, prepared.split, trained, report.path.parents[1] / "night-2")
    second = release_run(settings, prepared.tables, prepared.split, again, "night-2")
    assert (second.version, second.champion, second.promoted) == (2, 1, False)
    assert "is equal to version 1" in second.reason
    client = releasing.mlflow_client(run_registry.tracking_uri(settings))
    version = client.get_model_version("soh-xjtu", "2")
    assert version.tags["git_commit"] == "c0ffee"
    assert version.tags["promoted"] == "False"
    assert version.description == second.reason
    run = client.get_run(second.mlflow_run)
    assert run.data.tags["data_version"] == prepared.raw.version
    children = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{second.mlflow_run}'")
    assert {child.data.tags["model"] for child in children} == {"lgbm", "mlp"}


class NothingWithdrawn:
    """Stands for the registry."""

    def rolled_back_version(self, job: str) -> None:
        return None


def in_service(pipeline: Pipeline, rows: pd.DataFrame) -> Champion:
    """A champion that is this pipeline."""
    said = PackagePredictions(pipeline.model_name, pipeline.metadata, pipeline.predict_interval(rows))
    return Champion("version 3", lambda: said)


@pytest.fixture
def judged(night, prepared) -> Callable[..., tuple[Any, dict[str, Any], pd.DataFrame]]:
    """Judges the challenger of the report against a champion."""
    settings, report = night
    content = read_json(report.path)
    split = CellSplit.from_json(prepared.split.path.read_text())
    every = labelled_rows(prepared.tables.path, split, "nominal")

    def judge(champion: Any) -> tuple[Any, dict[str, Any], pd.DataFrame]:
        test = every[every["subset"] == "test"]
        if isinstance(champion, Pipeline):
            champion = in_service(champion, test)
        decision, contest = judge_contest(
            settings, content, every, NothingWithdrawn(), champion or NONE_SERVES, False  # type: ignore[arg-type]
        )  # fmt: skip
        return decision, contest, test

    return judge


@pytest.fixture
def challenger(night) -> Pipeline:
    settings, report = night
    return Pipeline.load(settings.folder("artifacts") / "runs" / read_json(report.path)["challenger"] / PIPELINE_FOLDER)


def champion_who_saw(challenger: Pipeline, *cells: str, **facts: Any) -> Pipeline:
    return dataclasses.replace(challenger, metadata={**challenger.metadata, "seen_cells": list(cells), **facts})


def test_both_are_scored_on_the_same_rows(judged, challenger: Pipeline) -> None:
    decision, contest, rows = judged(champion_who_saw(challenger))
    expected = evaluate_predictions(rows, challenger.predict(rows))["mean_cell_mape"]
    assert contest["challenger"] == contest["champion"]
    assert np.mean(list(contest["challenger"].values())) == pytest.approx(expected)
    assert (contest["unseen_cells"], contest["test_cells"]) == (4, 4)
    assert not decision.promote


def test_cells_the_champion_was_trained_on_play_no_part(judged, challenger: Pipeline, prepared) -> None:
    _, _, rows = judged(None)
    seen = sorted(rows["cell_id"].unique())[:3]
    _, contest, rows = judged(champion_who_saw(challenger, *seen))
    unseen = rows[~rows["cell_id"].isin(seen)]
    expected = evaluate_predictions(unseen, challenger.predict(unseen))["mean_cell_mape"]
    assert contest["challenger"] == contest["champion"] == pytest.approx(dict.fromkeys(unseen["cell_id"], expected))
    assert (contest["unseen_cells"], contest["test_cells"]) == (1, 4)
    split = CellSplit.from_json(prepared.split.path.read_text())
    every = labelled_rows(prepared.tables.path, split, "nominal")
    baselines, _ = evaluate_baselines(every[every["subset"] == "train"], unseen)
    assert contest["baselines"] == pytest.approx({k: v["mean_cell_mape"] for k, v in baselines.items()})


def test_a_champion_who_saw_all_test_cells_is_no_measure(judged, challenger: Pipeline) -> None:
    _, _, rows = judged(None)
    decision, contest, _ = judged(champion_who_saw(challenger, *rows["cell_id"].unique()))
    assert not decision.promote
    assert contest["champion"] == {}


def test_another_reference_capacity_is_not_comparable(judged, challenger: Pipeline) -> None:
    decision, *_ = judged(champion_who_saw(challenger, soh_reference="first_checkup"))
    assert not decision.promote
    assert (
        "version 3 predicts SOH relative to 'first_checkup', this run to 'nominal': not comparable" in decision.reason
    )


def test_a_champion_that_gives_no_answer_is_not_replaced_in_silence(judged) -> None:
    def silent() -> PackagePredictions:
        raise ChampionScoringError("version 3: its package gives no predictions: No module named 'x'")

    decision, contest, _ = judged(Champion("version 3", silent))
    assert not decision.promote
    assert contest["champion"] == {}
    assert decision.reason == (
        "version 3: its package gives no predictions: No module named 'x'; nothing is promoted "
        "over a champion that cannot be compared: repair it, or remove the alias 'champion' in MLflow"
    )


def test_a_champion_whose_answers_are_not_finite_has_no_error(judged, challenger: Pipeline) -> None:
    _, _, rows = judged(None)
    blind = in_service(challenger, rows).predictions()
    assert blind is not None
    blind.estimates["soh"] = np.nan
    _, contest, _ = judged(Champion("version 3", lambda: blind))
    assert np.isnan(list(contest["champion"].values())).all()


@pytest.fixture
def packed(night, new_store, tmp_path: Path) -> tuple[ModelRegistry, Version, Path]:
    """The challenger in service in a registry of its own, and where its pipeline is."""
    import mlflow

    settings, report = night
    registry = ModelRegistry(new_store(tmp_path), "soh-packed")
    home = settings.folder("artifacts") / "runs" / read_json(report.path)["challenger"] / PIPELINE_FOLDER
    place = mlflow.create_experiment("packed", artifact_location=(tmp_path / "packed").as_uri())
    with mlflow.start_run(experiment_id=place) as run:
        version = registry.add(log_pipeline(home), run.info.run_id, {}, "first")
    registry.promote(version, "first")
    return registry, version, home


def test_the_champion_is_scored_by_the_code_it_was_packed_with(
    night, prepared, packed: tuple[ModelRegistry, Version, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (settings, report), (registry, version, home) = night, packed
    charge = registry.package(version) / "code" / "battery_core" / "features" / "sets" / "charge.py"
    as_packed = charge.read_text()
    assert as_packed.count(GIVEN) == 1
    charge.write_text(as_packed.replace(GIVEN, f"{GIVEN}.multiply(1.1)"))
    split = CellSplit.from_json(prepared.split.path.read_text())
    rows = labelled_rows(prepared.tables.path, split, "nominal")
    with asking(settings, registry, rows) as champion:
        _, contest = judge_contest(settings, read_json(report.path), rows, registry, champion, False)
    said = champion.predictions()
    assert said is not None
    assert (champion.name, said.model_name) == ("version 1", Pipeline.load(home).model_name)
    assert not list(charge.parent.rglob("*.pyc"))  # nothing was written into the package
    compute, pipeline, test = ChargeFeatures.compute, Pipeline.load(home), rows[rows["subset"] == "test"]
    monkeypatch.setattr(ChargeFeatures, "compute", lambda *given: compute(*given).multiply(1.1))
    changed = pipeline.predict(test)
    np.testing.assert_allclose(said.predict(test), changed, rtol=0, atol=1e-6)
    assert contest["champion"] == pytest.approx(
        {c["cell_id"]: c["mape"] for c in evaluate_predictions(test, changed)["per_cell"]}
    )
    assert np.mean(list(contest["champion"].values())) > 1.5 * np.mean(list(contest["challenger"].values()))


def test_a_perceptron_lies_beside_the_package_as_onnx(night, prepared, packed, trained) -> None:
    import mlflow

    (settings, report), (_, version, _) = night, packed
    mlp = next(result for result in trained if result["model"] == "mlp")
    split = CellSplit.from_json(prepared.split.path.read_text())
    rows = labelled_rows(prepared.tables.path, split, "nominal")
    client = releasing.mlflow_client(uri := mlflow.get_tracking_uri())
    for result, said in ((trained[0], "no perceptron or LSTM in the candidate"), (mlp, "mlp")):
        log_onnx(settings, read_json(report.path) | {"challenger": result["run_id"]}, rows, version.run_id, uri)
        assert client.get_run(version.run_id).data.tags["onnx"] == said
    files = [file.path for file in client.list_artifacts(version.run_id, "onnx/mlp")]
    assert files == ["onnx/mlp/contract.json", "onnx/mlp/model.onnx"]


def test_runs_on_one_registry_share_one_lock(night, prepared, tmp_path: Path) -> None:
    settings, _ = night
    database = Path(run_registry.tracking_uri(settings).removeprefix("sqlite:///"))
    assert run_registry.lock_file(settings) == database.parent / "train.lock"
    own = run_registry.lock_file(prepared.settings)
    assert own == prepared.settings.folder("artifacts").resolve() / "train.lock"
    server = settings.model_copy(
        update={"tracking": settings.tracking.model_copy(update={"mlflow_uri": "http://localhost:1"})}
    )
    assert run_registry.lock_file(server) == settings.folder("artifacts") / "train.lock"
