"""The leaderboard: every finished seed is scored, nothing that stands is trained again, held-out means held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.data.sources.charge_statistics.reader import COLUMNS
from battery_core.data.splits.cell_split import CellSplit
from battery_core.errors import TrainingError
from battery_core.evaluation.benchmark.benchmarks import BENCHMARKS, Benchmark
from battery_core.evaluation.metrics.scores import evaluate_predictions
from battery_core.files import read_json
from battery_core.stages.evaluation import leaderboard as stage
from battery_core.stages.evaluation import published
from battery_core.stages.evaluation.evaluate import predictions_for
from battery_core.stages.labelled_rows import labelled_rows


def asked(settings: Any, **changes: Any) -> Any:
    given = {"leaderboard": settings.leaderboard.model_copy(update=changes)}
    return settings.model_copy(update=given | {"ensemble": settings.ensemble.model_copy(update={"enabled": True})})


@pytest.fixture
def nobody_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(spec: Any, *_: Any) -> Any:
        raise AssertionError(f"{spec.run_id} is trained again")

    monkeypatch.setattr(stage, "run_job", refuse)


def test_seeds_that_ended_are_scored_as_the_report_scores_them(prepared, trained, nobody_trains) -> None:
    settings = asked(prepared.settings, seeds=3, train=False)
    content = stage.leaderboard(settings, [BENCHMARKS["xjtu"]])
    (benchmark,) = content["benchmarks"]
    assert (benchmark["seeds_done"], benchmark["seeds"]) == (1, 3)  # one was trained, the others are said to be missing
    lines = {line["model"]: line for line in [*benchmark["models"], *benchmark["baselines"]]}
    assert set(lines) == {"lgbm", "mlp", "ensemble", "train_mean", "linear_throughput", "persistence", "leak_probe"}
    rows = labelled_rows(prepared.tables.path, CellSplit.from_json(prepared.split.path.read_text()), "nominal")
    test = rows[rows["subset"] == "test"].reset_index(drop=True)
    runs = settings.folder("artifacts") / "runs"
    for result in trained:
        scores = evaluate_predictions(test, predictions_for(runs / result["run_id"], test))
        line = lines[result["model"]]
        assert line["mape"]["mean"] == pytest.approx(scores["mean_cell_mape"], abs=1e-4)
        assert line["rmse"]["mean"] == pytest.approx(scores["mean_cell_rmse"], abs=1e-4)
        groups = {one["group"]: one["mape"] for one in scores["per_group"]}
        assert {name: group["mean"] for name, group in line["groups"].items()} == pytest.approx(groups, abs=1e-4)
    (parts,) = benchmark["ensemble_weights"].values()
    said = {result["model"]: predictions_for(runs / result["run_id"], test) for result in trained}
    mean = sum(count * said[name] for name, count in parts.items()) / sum(parts.values())
    assert lines["ensemble"]["mape"]["mean"] == pytest.approx(
        evaluate_predictions(test, mean)["mean_cell_mape"], abs=1e-4
    )
    folder = settings.folder("artifacts") / "leaderboard"
    assert (
        read_json(folder / "leaderboard.json")["benchmarks"][0]["models"][0]["model"] == benchmark["models"][0]["model"]
    )
    assert "1 of 3" in (folder / "leaderboard.md").read_text()


@pytest.mark.parametrize("mixed", [True, False])
def test_the_blend_is_the_mix_or_the_model_that_validation_cells_choose(
    prepared, trained, monkeypatch, mixed: bool
) -> None:
    worse, better = sorted(trained, key=lambda result: -result["val_mean_cell_mape"])
    mix = {**worse, "parts": {worse["model"]: 1.0}} if mixed else None
    monkeypatch.setattr(stage, "build_ensemble", lambda *_: mix)
    (benchmark,) = stage.leaderboard(asked(prepared.settings, seeds=1, train=False), [BENCHMARKS["xjtu"]])["benchmarks"]
    lines = {line["model"]: line["mape"] for line in benchmark["models"]}
    assert lines["ensemble"] == lines[(worse if mixed else better)["model"]]
    assert benchmark["ensemble_weights"] == {"0": {worse["model"]: 1.0} if mixed else {better["model"]: 1.0}}


def test_what_stands_is_not_trained_again(prepared, trained, nobody_trains) -> None:
    (benchmark,) = stage.leaderboard(asked(prepared.settings, seeds=1), [BENCHMARKS["xjtu"]])["benchmarks"]
    assert benchmark["seeds_done"] == 1


def test_a_job_that_fails_stops_no_other_and_is_said_at_the_end(prepared, tmp_path, monkeypatch) -> None:
    tried = []

    def fail(spec: Any, *_: Any) -> Any:
        tried.append((spec.settings["seed"], spec.model))
        raise TrainingError(f"training job '{spec.run_id}': no luck")

    monkeypatch.setattr(stage, "run_job", fail)
    settings = asked(prepared.settings, seeds=2)
    paths = settings.paths.model_copy(update={"artifacts": tmp_path})
    said: list[str] = []
    with pytest.raises(
        TrainingError, match=r"4 jobs failed - run it again, finished jobs are kept; training job 'xjtu-"
    ):
        stage.leaderboard(settings.model_copy(update={"paths": paths}), [BENCHMARKS["xjtu"]], said.append)
    assert sorted(tried) == [(0, "lgbm"), (0, "mlp"), (1, "lgbm"), (1, "mlp")]
    assert len(said) == 4
    (benchmark,) = read_json(tmp_path / "leaderboard" / "leaderboard.json")["benchmarks"]
    assert (benchmark["seeds_done"], benchmark["models"]) == (0, [])
    assert benchmark["baselines"]


@pytest.fixture
def tju(tmp_path: Path) -> Path:
    """Small cells in the TJU layout: two chemistries at three temperatures."""
    for folder, number in (("Dataset_1_NCA_battery", 1), ("Dataset_2_NCM_battery", 2)):
        for temperature in (25, 35, 45):
            for cell in range(1, 4):
                table = pd.DataFrame({name: np.linspace(1, 2, 4) + number for name in COLUMNS})
                file = tmp_path / "pinn4soh" / "TJU data" / folder / f"CY{temperature}-05_1-#{cell}.csv"
                file.parent.mkdir(parents=True, exist_ok=True)
                table.assign(capacity=np.linspace(3.4, 3.0, 4)).to_csv(file, index=False)
    return tmp_path


@pytest.mark.parametrize(("name", "groups"), [("tju-35-nca", {"NCA"}), ("tju-35", {"NCA", "NCM"})])
def test_nothing_of_a_held_out_temperature_is_seen(tju, tmp_path, xjtu_settings, name: str, groups: set[str]) -> None:
    place = stage.prepare(xjtu_settings(tmp_path / "house", tju), BENCHMARKS[name])
    rows = place.rows()
    used = rows[rows["subset"] != "unused"]
    assert set(used["group"]) == groups
    assert set(rows.loc[rows["subset"] == "test", "cell_id"]) == {
        f"{group}_CY35-05_1-#{cell}" for group in groups for cell in (1, 2, 3)
    }
    for part in ("train", "val"):  # validation cells are of both temperatures and of every chemistry
        seen = used[used["subset"] == part]
        assert set(seen["ambient_temperature_degC"]) == {25.0, 45.0}
        assert set(seen["group"]) == groups
    again = stage.prepare(place.settings, BENCHMARKS[name])
    assert [spec.key for spec in again.run_with_seed(1).specs] == [spec.key for spec in place.run_with_seed(1).specs]
    assert {spec.key for spec in place.run_with_seed(1).specs}.isdisjoint(
        spec.key for spec in place.run_with_seed(0).specs
    )


def test_a_held_out_temperature_is_asked_of_the_drift_alone(tju, tmp_path, xjtu_settings) -> None:
    settings = xjtu_settings(tmp_path / "house", tju, models=("kernel_ridge", "mlp"))
    told = {
        name: {spec.model: spec for spec in stage.prepare(settings, benchmark).run_with_seed(0).specs}
        for name, benchmark in (("35", BENCHMARKS["tju-35"]), ("all", Benchmark("all", "tju", "", (), (35.0,))))
    }
    sets = {name: specs["kernel_ridge"].settings["features"]["sets"] for name, specs in told.items()}
    assert sets == {
        "35": ["charge", "condition", "early_deviation"],
        "all": ["charge", "condition", "early_deviation", "expanding_mean"],
    }
    assert told["35"]["mlp"].settings == told["all"]["mlp"].settings  # it is not told of the past: nothing changes
    named = settings.model_copy(
        update={"features": settings.features.model_copy(update={"history_sets": ("recent_change",)})}
    )
    (kernel, _) = stage.prepare(named, BENCHMARKS["tju-35"]).run_with_seed(0).specs
    assert kernel.settings["features"]["sets"] == ["charge", "condition", "recent_change"]
    assert {benchmark.name for benchmark in BENCHMARKS.values() if benchmark.history_sets} == {
        "tju-35",
        "tju-35-nca",
        "tju-35-ncm",
    }


def test_a_leaking_fit_stands_and_is_never_among_the_honest(prepared, tmp_path, monkeypatch) -> None:
    paths = prepared.settings.paths.model_copy(update={"artifacts": tmp_path})
    lgbm = prepared.settings.lgbm.model_copy(update={"n_estimators": 5})
    settings = asked(prepared.settings, published_seeds=1).model_copy(update={"paths": paths, "lgbm": lgbm})
    said: list[str] = []
    leaks = BENCHMARKS["xjtu-published"]
    first = stage.leaderboard(settings, [leaks], said.append)
    assert len(said) == 2 * 3  # two groups, three models
    assert all("leaks" in line for line in said)
    (benchmark,) = first["benchmarks"]
    assert benchmark["leaking"]
    assert benchmark["baselines"] == []
    monkeypatch.setattr(published, "fit_as_published", lambda *_: pytest.fail("fitted again"))
    again = stage.leaderboard(settings, [leaks], said.append)
    assert again == first
    assert len(said) == 6
    more = stage.leaderboard(asked(settings, published_seeds=2, train=False), [leaks], said.append)
    assert (more["benchmarks"][0]["seeds_done"], more["benchmarks"][0]["seeds"]) == (1, 2)
    assert more["benchmarks"][0]["models"] == benchmark["models"]
    (file,) = (tmp_path / "leaderboard" / "published").glob("*2C-mlp*")
    file.unlink()
    none = stage.leaderboard(asked(settings, published_seeds=1, train=False), [leaks], said.append)
    assert (none["benchmarks"][0]["seeds_done"], none["benchmarks"][0]["models"]) == (0, [])
    assert "seeds: 0 of 1" in (tmp_path / "leaderboard" / "leaderboard.md").read_text()


def test_goals_are_of_valid_benchmarks_only() -> None:
    assert {name for name, benchmark in BENCHMARKS.items() if benchmark.goal is None} == {
        "xjtu-published", "tju-published", "hust-published",
    }  # fmt: skip
    assert isinstance(BENCHMARKS["hust"], Benchmark)
