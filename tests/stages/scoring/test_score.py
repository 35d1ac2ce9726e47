"""The model in service on every cell: what the table says, which cells are flagged, and what a person reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.data.tables.schema import join_rows
from battery_core.errors import DataError
from battery_core.files import read_json
from battery_core.predictors.pipeline import Pipeline
from battery_core.release.champion_scoring import PackagePredictions
from battery_core.release.model_registry import ModelRegistry
from battery_core.release.package.mlflow_model import log_pipeline
from battery_core.reporting.tables.scoring import most_urgent_cells, score_flags, score_table
from battery_core.stages.common import read_table
from battery_core.stages.registry import registered_name
from battery_core.stages.scoring import score as stage
from battery_core.stages.scoring.remaining_life import CYCLES, EFC, with_usage


@pytest.fixture(scope="module")
def settings(prepared, new_store, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Settings with a registry of their own, in which nothing serves yet."""
    uri = new_store(tmp_path_factory.mktemp("scoring"))
    tracking = prepared.settings.tracking.model_copy(update={"mlflow_uri": uri})
    return prepared.settings.model_copy(update={"tracking": tracking})


@pytest.fixture(scope="module")
def champion(settings, prepared, trained: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Version 1 is in service."""
    import mlflow

    registry = ModelRegistry(settings.tracking.mlflow_uri, registered_name(settings))
    home = prepared.settings.folder("artifacts") / "runs" / trained[0]["run_id"] / "pipeline"
    place = tmp_path_factory.mktemp("models").as_uri()
    with mlflow.start_run(experiment_id=mlflow.create_experiment("scoring", artifact_location=place)) as run:
        logged = log_pipeline(home)
    version = registry.add(logged, run.info.run_id, {"data_version": prepared.raw.version}, "first")
    registry.promote(version, "first")
    return Pipeline.load(home)


def scored(settings: Any, prepared: Any, folder: Any, **given: Any) -> tuple[stage.ScoringResult, pd.DataFrame]:
    changed = settings.model_copy(update={"score": settings.score.model_copy(update=given)})
    found = stage.score(changed, prepared.tables, folder)
    return found, pd.read_parquet(folder / stage.SCORES_FILE)


@pytest.fixture(autouse=True)
def no_plot_no_process(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, predict_in_process: Any
) -> None:
    """Plots and processes take most of the time; the one test that is about each has it."""
    if "people" not in request.node.name:
        monkeypatch.setattr(stage, "draw_scores", lambda *_: [])
    if "newest_checkup_of_every_cell" not in request.node.name:
        monkeypatch.setattr(stage, "predict_isolated", predict_in_process)


def test_without_a_champion_it_says_what_to_do(prepared, new_store, tmp_path) -> None:
    tracking = prepared.settings.tracking.model_copy(update={"mlflow_uri": new_store(tmp_path)})
    settings = prepared.settings.model_copy(update={"tracking": tracking})
    with pytest.raises(DataError, match=r"models:/soh-xjtu@champion does not exist - train first: python flows/train"):
        stage.score(settings, prepared.tables, tmp_path / "scores")
    assert not (tmp_path / "scores").exists()


def test_the_table_holds_the_newest_checkup_of_every_cell(settings, prepared, champion: Pipeline, tmp_path) -> None:
    found, table = scored(settings, prepared, tmp_path / "scores")
    rows = join_rows(read_table(prepared.tables.path, "cells"), read_table(prepared.tables.path, "checkups"))
    newest = rows.groupby("cell_id")["checkup_index"].max()
    assert table.set_index("cell_id")["checkup_index"].to_dict() == newest.to_dict()
    asked = champion.predict_interval(rows).loc[rows.groupby("cell_id").tail(1).index]
    for name in ("soh", "soh_lower", "soh_upper"):
        np.testing.assert_allclose(table[name], asked[name], rtol=0, atol=1e-6)
    assert table["in_distribution"].tolist() == asked["in_distribution"].tolist()
    np.testing.assert_allclose(
        table["soh_measured"], (rows["capacity_Ah"] / rows["nominal_capacity_Ah"]).loc[asked.index]
    )
    assert set(table["data_version"]) == {prepared.raw.version}
    assert set(table["model_version"]) == {1}
    assert set(table["model_name"]) == {"soh-xjtu"}
    assert set(table["usage_unit"]) == {CYCLES}
    assert abs((pd.Timestamp.now("UTC") - table["scored_at"].iloc[0]).total_seconds()) < 60
    unseen = table.loc[~table["seen_in_training"], "cell_id"]
    assert set(unseen) == set(newest.index) - set(champion.metadata["seen_cells"])
    assert found.message.startswith(f"score: {len(newest)} cells of ")
    assert read_json(tmp_path / "scores" / stage.SUMMARY_FILE)["same_data_as_training"] is True


def test_cells_are_flagged_by_the_end_of_life_that_is_set(settings, prepared, champion: Pipeline, tmp_path) -> None:
    _, table = scored(settings, prepared, tmp_path / "a", near=0.0)
    middle = float(table["soh"].median())
    found, table = scored(settings, prepared, tmp_path / "b", end_of_life=middle, near=0.0)
    assert table["at_end_of_life"].tolist() == (table["soh"] <= middle).tolist()
    assert table["near_end_of_life"].tolist() == (table["soh_lower"] <= middle).tolist()
    assert found.summary["at_end_of_life"] == sorted(table.loc[table["soh"] <= middle, "cell_id"])
    assert (table.loc[table["at_end_of_life"], "rul_checkups"] == 0).all()
    far, table = scored(settings, prepared, tmp_path / "c", end_of_life=0.01, near=0.0)
    assert not table["near_end_of_life"].any()
    assert "0 at 1% SOH or below, 0 near it" in far.message


def test_more_newest_checkups_can_be_had(settings, prepared, champion: Pipeline, tmp_path) -> None:
    _, table = scored(settings, prepared, tmp_path / "scores", newest=3)
    assert set(table.groupby("cell_id").size()) == {3}
    assert (table.groupby("cell_id")["rul"].count() <= 1).all()  # the forecast is of the newest only


def test_a_cell_unlike_training_is_named_with_its_column(settings, prepared, champion: Pipeline, tmp_path) -> None:
    assert champion.training_domain is not None
    column, (low, high) = next(iter(champion.training_domain.limits.items()))
    checkups = read_table(prepared.tables.path, "checkups")
    last = checkups.groupby("cell_id").tail(1).index[0]
    checkups.loc[last, column] = high + 0.5 * (high - low)
    moved = tmp_path / "tables"
    moved.mkdir()
    for file in prepared.tables.path.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    checkups.to_parquet(moved / "checkups.parquet", index=False)
    found = stage.score(settings, replace(prepared.tables, path=moved), tmp_path / "scores")
    assert found.summary["out_of_distribution"].get(checkups.loc[last, "cell_id"]) == column
    assert f"({column})" in "\n".join(score_flags(found.summary))


def test_a_model_without_intervals_is_used_and_said(
    settings, prepared, champion: Pipeline, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def older(_: Any, rows: pd.DataFrame, *__: Any) -> PackagePredictions:
        return PackagePredictions(
            "lgbm", champion.metadata, pd.DataFrame({"soh": champion.predict(rows)}, index=rows.index)
        )

    monkeypatch.setattr(stage, "predict_isolated", older)
    said: list[str] = []
    found = stage.score(settings, prepared.tables, tmp_path / "scores", said.append)
    table = pd.read_parquet(tmp_path / "scores" / stage.SCORES_FILE)
    assert said == [
        "score: the model in service was trained without intervals: lower, upper and in_distribution stay empty"
    ]
    assert table["soh"].notna().all()
    assert table["soh_lower"].isna().all()
    assert table["in_distribution"].isna().all()
    assert found.message.endswith("not known whether they are like those of training")
    assert table["near_end_of_life"].tolist() == (table["soh"] <= 0.82).tolist()


def test_use_is_equivalent_full_cycles_where_throughput_is_measured() -> None:
    rows = pd.DataFrame(
        {"throughput_Ah": [0.0, 100.0], "nominal_capacity_Ah": 5.0, "cycle_count": [0, 7], "checkup_index": [0, 1]}
    )
    found, unit = with_usage(rows)
    assert (found["usage"].tolist(), unit) == ([0.0, 10.0], EFC)
    found, unit = with_usage(rows.assign(throughput_Ah=[0.0, np.nan]))
    assert (found["usage"].tolist(), unit) == ([0.0, 7.0], CYCLES)


def test_people_see_the_most_urgent_cells_first(settings, prepared, champion: Pipeline, tmp_path) -> None:
    _, table = scored(settings, prepared, tmp_path / "scores", end_of_life=0.9)
    lines = score_table(table, most=5)
    assert [line["cell"] for line in lines] == most_urgent_cells(table, 5)
    order = table.set_index("cell_id")["at_end_of_life"].loc[most_urgent_cells(table, 12)].tolist()
    assert order == sorted(order)
    assert {"cell", "check-up", "SOH", "measured", "RUL / cycles", "RUL / check-ups", "note"} == set(lines[0])
    assert (tmp_path / "scores" / stage.FIGURE_FILE).stat().st_size > 10_000
