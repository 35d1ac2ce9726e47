"""A finished model explained on demand: its figures, its table of values, and one line for what cannot be found."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from battery_core.errors import DataError, SettingsError
from battery_core.files import write_json
from battery_core.models.lstm_attention import LSTMAttentionModel
from battery_core.predictors.pipeline import Pipeline
from battery_core.predictors.weighted_ensemble import WeightedEnsemble
from battery_core.settings import Settings
from battery_core.stages.common import STAGE_FILE
from battery_core.stages.evaluation import explain_run as stage
from battery_core.stages.evaluation import explain_subject
from battery_core.stages.evaluation.explain_run import VALUES_FILE, explain_run
from battery_core.stages.training.candidate import PIPELINE_FOLDER


@pytest.fixture
def settings(prepared, trained: list[dict[str, Any]], tmp_path: Path) -> Settings:
    """A project of its own: tables, split, the trained runs, and a report whose chosen model is a mean of all kinds."""
    base: Settings = prepared.settings
    own = base.model_copy(
        update={"paths": base.paths.model_copy(update={name: tmp_path / name for name in ("data", "artifacts")})}
    )
    shutil.copytree(base.folder("data") / "normalized", own.folder("data") / "normalized")
    runs = own.folder("artifacts") / "runs"
    shutil.copytree(base.folder("artifacts") / "runs", runs)
    parts = [Pipeline.load(runs / result["run_id"] / PIPELINE_FOLDER) for result in trained]
    model = LSTMAttentionModel(len(parts[0].feature_names), hidden_dim=4).eval()
    vectors = parts[0].feature_pipeline
    time = vectors.settings.model_copy(update={"history_time": "checkup_index"})
    sequences = replace(vectors, settings=time, takes_sequences=True)
    parts.append(replace(parts[0], model_name="lstm", model=model, feature_pipeline=sequences))
    WeightedEnsemble(tuple(parts), (0.5, 0.25, 0.25), parts[0].metadata).save(runs / "xjtu-blend-1" / PIPELINE_FOLDER)
    write_json(own.folder("artifacts") / "reports" / "xjtu-night" / "report.json", {"challenger": "xjtu-blend-1"})
    return own


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Figures are noted, not drawn: (file, what is shown of which cell)."""
    seen: list[tuple[str, Any]] = []

    def waterfall(found: Any, shown: dict[str, int], title: str, file: Path) -> Path:
        lines = found.rows.iloc[list(shown.values())]
        seen.append(
            (file.name, dict(zip(shown, zip(lines["cell_id"], lines["checkup_index"], strict=True), strict=True)))
        )
        return file

    def other(*given: Any) -> Path:
        seen.append((given[-1].name, None))
        return Path(given[-1])

    monkeypatch.setattr(stage, "draw_waterfall", waterfall)
    monkeypatch.setattr(stage, "draw_shap_summary", other)
    monkeypatch.setattr(stage, "draw_attention", other)
    return seen


def values_of(lines: list[str]) -> pd.DataFrame:
    return pd.read_parquet(lines[-1].strip())


def test_the_parts_of_a_reports_chosen_model_are_explained_on_the_cells_that_are_asked_for(
    settings: Settings, drawn: list[tuple[str, Any]], tmp_path: Path
) -> None:
    cells = ("2C_battery-4", "3C_battery-1")
    said: list[str] = []
    lines = explain_run(settings, "xjtu-night", cells, rows=5, to=tmp_path / "there", log=said.append)
    assert said == ["explain: lgbm: 2 cells", "explain: mlp: 2 cells", "explain: lstm: 2 cells"]
    assert lines[0] == "explain: xjtu-night: ensemble of XJTU charge statistics (55 NCM cells, measured)"
    figures = dict(drawn)
    per_cell = {f"{model}-{what}-{cell}.png" for cell in cells for model, what in
                (("lgbm", "waterfall"), ("mlp", "waterfall"), ("lstm", "attention"))}  # fmt: skip
    assert set(figures) == per_cell | {"lgbm-shap.png", "mlp-shap.png"}
    waterfalls = [shown for name, shown in figures.items() if "waterfall" in name]
    last = [checkup for shown in waterfalls for what, (_, checkup) in shown.items() if what.startswith("last check-up")]
    assert last == [11] * 4  # of 0 to 11

    values = values_of(lines)
    assert Path(lines[-1].strip()) == tmp_path / "there" / VALUES_FILE
    assert set(values["cell_id"]) == set(cells)
    assert dict(zip(values["cell_id"], values["subset"], strict=True)) == dict(
        zip(cells, ("unseen", "train"), strict=True)
    )
    runs = settings.folder("artifacts") / "runs"
    blend = WeightedEnsemble.load(runs / "xjtu-blend-1" / PIPELINE_FOLDER)
    rows = explain_subject.rows_of(settings, blend)
    for part in blend.pipelines[:2]:
        own = values[values["model"] == part.model_name]
        added = own.groupby(["cell_id", "checkup_index"]).agg({"soh_points": "sum", "base": "first"})
        assert 5 <= len(added) <= 5 + 2 * len(cells)
        served = rows.assign(soh=part.predict(rows)).set_index(["cell_id", "checkup_index"])["soh"][added.index]
        assert (added["base"] + added["soh_points"] / 100).to_numpy() == pytest.approx(served.to_numpy(), abs=1e-6)
        worst = figures[f"{part.model_name}-waterfall-2C_battery-4.png"]
        cell = rows.assign(error=(part.predict(rows) - rows["soh"]).abs()).query("cell_id == '2C_battery-4'")
        largest = cell.loc[cell["error"].idxmax(), "checkup_index"]
        assert ("2C_battery-4", largest) in worst.values()


def test_without_cells_the_worst_median_and_best_of_those_it_never_saw(
    settings: Settings, drawn: list[tuple[str, Any]], trained: list[dict[str, Any]]
) -> None:
    run = next(result["run_id"] for result in trained if result["model"] == "lgbm")
    values = values_of(explain_run(settings, run, rows=1, log=lambda line: None))
    assert (settings.folder("artifacts") / "explanations" / run / VALUES_FILE).is_file()
    rows = explain_subject.rows_of(settings, explain_subject.model_of(settings, run))
    kept = pd.read_parquet(settings.folder("artifacts") / "runs" / run / "predictions.parquet")
    error = (kept["prediction"] / kept["soh"] - 1).abs().groupby(kept["cell_id"]).mean()
    unseen = error[error.index.isin(rows.loc[rows["subset"] == "unseen", "cell_id"])].sort_values()
    assert len(unseen) == 4
    assert set(values["cell_id"]) == {unseen.index[-1], unseen.index[1], unseen.index[0]}
    assert (values["standard_error"] == 0).all()


def test_the_background_is_training_cells_alone_where_the_split_is_on_disk(
    settings: Settings, prepared, tmp_path: Path
) -> None:
    blend = explain_subject.model_of(settings, "xjtu-night")
    parts = explain_subject.rows_of(settings, blend).groupby("subset")["cell_id"].nunique()
    assert parts.to_dict() == {"train": 6, "unseen": 4, "val": 2}
    paths = settings.paths.model_copy(update={"splits": tmp_path / "none"})
    elsewhere = settings.model_copy(update={"paths": paths})
    parts = explain_subject.rows_of(elsewhere, blend).groupby("subset")["cell_id"].nunique()
    assert parts.to_dict() == {"train": 8, "unseen": 4}


def test_other_tables_than_those_of_training_are_said(settings: Settings, drawn: list[tuple[str, Any]]) -> None:
    write_json(settings.folder("data") / "normalized" / "xjtu" / STAGE_FILE, {"version": "other"})
    said: list[str] = []
    explain_run(settings, "xjtu-blend-1", ("2C_battery-4",), 1, log=said.append)
    assert (
        said[0]
        == "explain: the tables are not those the model was trained on; explained on the check-ups as they are now"
    )


def test_a_registered_version_is_explained(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Registry:
        def __init__(self, uri: str, name: str) -> None:
            asked.append(name)

        def package(self, version: Any) -> Path:
            package = settings.folder("artifacts") / "packed"
            shutil.copytree(settings.folder("artifacts") / "runs" / "xjtu-blend-1", package / "artifacts")
            return package

    def find(settings: Settings, which: str) -> Any:
        asked.append(which)
        return type("Version", (), {"name": "soh-xjtu"})

    monkeypatch.setattr(explain_subject, "ModelRegistry", Registry)
    monkeypatch.setattr(explain_subject, "open_registry", lambda settings: "uri")
    monkeypatch.setattr(explain_subject, "find", find)
    assert isinstance(explain_subject.model_of(settings, "champion"), WeightedEnsemble)
    assert asked == ["champion", "soh-xjtu"]


@pytest.mark.parametrize(
    ("which", "cells", "line"),
    [
        ("xjtu-nigth", (), r"explain: no run 'xjtu-nigth' below '.*reports' or '.*runs': did you mean 'xjtu-night'"),
        ("qqq", (), r"no run 'qqq' below .*: The newest: xjtu-.* - name one of them, or a model version by number"),
        ("xjtu-night", ("2C_batery-4",), r"explain: no cell '2C_batery-4': did you mean '2C_battery-4'.* 12 cells"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_one_line(settings: Settings, which: str, cells: tuple[str, ...], line: str) -> None:
    with pytest.raises(DataError, match=line) as caught:
        explain_run(settings, which, cells)
    assert "\n" not in str(caught.value)
    assert not (settings.folder("artifacts") / "explanations").exists()


def test_wrong_asks_and_lost_data_are_one_line(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="explain: --rows must be at least 1, got 0"):
        explain_run(settings, "xjtu-night", rows=0)
    other = pd.read_parquet(file := settings.folder("data") / "normalized" / "xjtu" / "checkups.parquet")
    other.query("cell_id == '2C_battery-4'").to_parquet(file)
    with pytest.raises(
        DataError, match=r"has none of the 8 cells that ensemble was trained on - bring its data back with"
    ):
        explain_run(settings, "xjtu-night")
    shutil.rmtree(settings.folder("artifacts") / "runs" / "xjtu-blend-1")
    with pytest.raises(DataError, match=r"the model of report 'xjtu-night' is not in '.*xjtu-blend-1' any more"):
        explain_run(settings, "xjtu-night")


def test_the_command_hands_over_what_was_said(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from battery_core.__main__ import main

    given: list[Any] = []

    def explain_run(settings: Settings, *rest: Any) -> list[str]:
        given.extend([settings.data.source, *rest])
        return ["done"]

    monkeypatch.setattr("battery_core.stages.evaluation.explain_run.explain_run", explain_run)
    argv = ["explain", "night-1", "--cells", "a,b", "--rows", "9", "--to", "there", "--data.source", "tju"]
    assert main(argv) == 0
    assert given == ["tju", "night-1", ("a", "b"), 9, Path("there")]
    assert capsys.readouterr().out == "done\n"
    assert main(["explain", "night-1"]) == 0
    assert given[6:] == ["night-1", (), 200, None]
