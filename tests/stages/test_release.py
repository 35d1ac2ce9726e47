"""The end of a night in a real registry: a first champion, then a contest on the same rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.data.splits import CellSplit
from battery_core.evaluation.report import score, score_baselines
from battery_core.files import read_json
from battery_core.models.pipeline import Pipeline
from battery_core.release.model_registry import Version
from battery_core.release.provenance import CodeState
from battery_core.settings import Settings
from battery_core.stages import evaluate as evaluation
from battery_core.stages import release as releasing
from battery_core.stages.candidate import PIPELINE_FOLDER
from battery_core.stages.train import labelled_rows

CHAMPION = Version("soh-xjtu", 3, {}, "run")


@pytest.fixture(scope="module")
def night(prepared, trained: list[dict[str, Any]], new_store, tmp_path_factory: pytest.TempPathFactory):
    """Settings with a fresh registry, and a report to release."""
    uri = new_store(tmp_path_factory.mktemp("night"))
    settings: Settings = prepared.settings.model_copy(
        update={"tracking": prepared.settings.tracking.model_copy(update={"mlflow_uri": uri})}
    )
    folder = settings.folder("artifacts") / "reports" / "night-1"
    return settings, evaluation.evaluate(settings, prepared.tables, prepared.split, trained, folder)


def test_the_first_wins_the_second_is_no_better(
    night, prepared, trained: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, report = night
    settings = settings.model_copy(update={"release": settings.release.model_copy(update={"must_beat": ()})})
    monkeypatch.setattr(releasing, "code_state", lambda: CodeState("c0ffee", ()))
    first = releasing.release(settings, prepared.tables, prepared.split, report, "night-1")
    assert (first.version, first.champion, first.promoted) == (1, 1, True)
    assert first.reason.startswith("first champion: ")
    kept = read_json(report.path.parent / releasing.OUTCOME_FILE)
    assert kept["tags"]["data_version"] == prepared.raw.version
    assert kept["contest"]["champion"] is None
    again = evaluation.evaluate(settings, prepared.tables, prepared.split, trained, report.path.parents[1] / "night-2")
    second = releasing.release(settings, prepared.tables, prepared.split, again, "night-2")
    assert (second.version, second.champion, second.promoted) == (2, 1, False)
    assert "is equal to version 1" in second.reason
    client = releasing.mlflow_client(releasing.tracking_uri(settings))
    version = client.get_model_version("soh-xjtu", "2")
    assert version.tags["git_commit"] == "c0ffee"
    assert version.tags["promoted"] == "False"
    assert version.description == second.reason
    run = client.get_run(second.mlflow_run)
    assert run.data.tags["data_version"] == prepared.raw.version
    children = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{second.mlflow_run}'")
    assert {child.data.tags["model"] for child in children} == {"lgbm", "mlp"}


@dataclasses.dataclass(frozen=True)
class Stub:
    """Stands for the registry: its champion is a pipeline that is given."""

    champion: Any

    def pipeline(self, version: Version) -> Any:
        return self.champion

    def withdrawn(self, job: str) -> None:
        return None


@pytest.fixture
def judged(night, prepared) -> Callable[..., tuple[Any, dict[str, Any], pd.DataFrame]]:
    """Judges the challenger of the report against a champion."""
    settings, report = night
    content = read_json(report.path)
    split = CellSplit.from_json(prepared.split.path.read_text())
    every = labelled_rows(prepared.tables.path, split, "nominal")

    def judge(champion: Any) -> tuple[Any, dict[str, Any], pd.DataFrame]:
        decision, contest = releasing.judge(
            settings, content, every, Stub(champion), CHAMPION if champion else None, False  # type: ignore[arg-type]
        )  # fmt: skip
        return decision, contest, every[every["part"] == "test"]

    return judge


@pytest.fixture
def challenger(night) -> Pipeline:
    settings, report = night
    return Pipeline.load(settings.folder("artifacts") / "runs" / read_json(report.path)["challenger"] / PIPELINE_FOLDER)


def champion_who_saw(challenger: Pipeline, *cells: str, **facts: Any) -> Pipeline:
    return dataclasses.replace(challenger, facts={**challenger.facts, "seen_cells": list(cells), **facts})


def test_both_are_scored_on_the_same_rows(judged, challenger: Pipeline) -> None:
    decision, contest, rows = judged(champion_who_saw(challenger))
    expected = score(rows, challenger.predict(rows))["mean_cell_mape"]
    assert contest["challenger"] == contest["champion"]
    assert np.mean(list(contest["challenger"].values())) == pytest.approx(expected)
    assert (contest["unseen_cells"], contest["test_cells"]) == (4, 4)
    assert not decision.promote


def test_cells_the_champion_was_trained_on_play_no_part(judged, challenger: Pipeline, prepared) -> None:
    _, _, rows = judged(None)
    seen = sorted(rows["cell_id"].unique())[:3]
    _, contest, rows = judged(champion_who_saw(challenger, *seen))
    unseen = rows[~rows["cell_id"].isin(seen)]
    expected = score(unseen, challenger.predict(unseen))["mean_cell_mape"]
    assert contest["challenger"] == contest["champion"] == pytest.approx(dict.fromkeys(unseen["cell_id"], expected))
    assert (contest["unseen_cells"], contest["test_cells"]) == (1, 4)
    split = CellSplit.from_json(prepared.split.path.read_text())
    every = labelled_rows(prepared.tables.path, split, "nominal")
    baselines, _ = score_baselines(every[every["part"] == "train"], unseen)
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


def test_a_champion_that_cannot_read_these_rows_counts_as_not_finite(judged, challenger: Pipeline) -> None:
    blind = dataclasses.replace(champion_who_saw(challenger), raw_columns=("cell_id", "checkup_index", "gone_V"))
    _, contest, _ = judged(blind)
    assert np.isnan(list(contest["champion"].values())).all()


def test_runs_on_one_registry_share_one_lock(night, prepared, tmp_path: Path) -> None:
    settings, _ = night
    database = Path(releasing.tracking_uri(settings).removeprefix("sqlite:///"))
    assert releasing.lock_file(settings) == database.parent / "train.lock"
    own = releasing.lock_file(prepared.settings)
    assert own == prepared.settings.folder("artifacts").resolve() / "train.lock"
    server = settings.model_copy(
        update={"tracking": settings.tracking.model_copy(update={"mlflow_uri": "http://localhost:1"})}
    )
    assert releasing.lock_file(server) == settings.folder("artifacts") / "train.lock"
