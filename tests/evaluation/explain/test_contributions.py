"""What estimates rest on: Shapley values add up to the estimate, and a feature nobody needs has no weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from battery_core.evaluation.explain import contributions as explain
from battery_core.evaluation.explain import importance
from battery_core.evaluation.explain.contributions import FeatureRows
from battery_core.predictors.pipeline import Pipeline
from battery_core.reporting.figures import explain as explain_figures
from battery_core.stages.evaluation.explain import explain as explain_stage
from battery_core.stages.evaluation.explain import last_checkups, speaks_for, three_cells


def test_exact_values_add_up_to_what_the_pipeline_estimates(
    pipelines: dict[str, Pipeline], test_rows: pd.DataFrame
) -> None:
    found = explain.tree_contributions(pipelines["lgbm"], FeatureRows.from_rows(pipelines["lgbm"], test_rows))
    assert found.base + found.values.sum(axis=1) / 100 == pytest.approx(pipelines["lgbm"].predict(test_rows), abs=1e-9)
    assert (found.errors == 0).all()


def test_sampled_values_add_up_to_what_the_pipeline_estimates(
    pipelines: dict[str, Pipeline], test_rows: pd.DataFrame, train_rows: pd.DataFrame
) -> None:
    pipeline = pipelines["mlp"]
    told, train = FeatureRows.from_rows(pipeline, test_rows), FeatureRows.from_rows(pipeline, train_rows)
    background = explain.draw_background(pipeline, train, 8)
    assert set(background.rows["subset"]) == {"train"}
    found = explain.sampled_contributions(pipeline, told.take([5, 2]), background)
    served = pipeline.predict(test_rows)[[5, 2]]
    assert found.base == pytest.approx(pipeline.predict(train_rows)[background_positions(train, background)].mean())
    assert found.base + found.values.sum(axis=1) / 100 == pytest.approx(served, abs=1e-6)
    assert found.rows["prediction"].to_numpy() == pytest.approx(served, abs=1e-6)
    np.testing.assert_array_equal(found.features, pipeline.features(test_rows).iloc[[5, 2]])
    assert found.errors.max() > 0


def background_positions(train: FeatureRows, background: FeatureRows) -> list[int]:
    return [train.rows.index.get_loc(index) for index in background.rows.index]


def test_few_check_ups_of_the_background_have_the_mean_estimate_of_all(
    pipelines: dict[str, Pipeline], train_rows: pd.DataFrame
) -> None:
    pipeline = pipelines["mlp"]
    train, whole = FeatureRows.from_rows(pipeline, train_rows), pipeline.predict(train_rows)
    off, at_random = [], []
    for seed in range(20):
        some = background_positions(train, explain.draw_background(pipeline, train, 8, seed))
        off.append(abs(whole[some].mean() - whole.mean()))
        at_random.append(abs(np.random.default_rng(seed).choice(whole, 8, replace=False).mean() - whole.mean()))
    assert np.mean(off) < 0.5 * np.mean(at_random)


def test_gain_is_shared_out_whole(pipelines: dict[str, Pipeline]) -> None:
    found = importance.gain_importance(pipelines["lgbm"])
    assert sum(found.values()) == pytest.approx(100.0)
    assert tuple(found) == pipelines["lgbm"].feature_names


class OnlyFirst:
    """Reads one feature of all that it is given."""

    def predict(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return 0.9 + 0.02 * x[:, :1]


def test_only_a_feature_that_is_read_has_weight(
    pipelines: dict[str, Pipeline], test_rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipelines["mlp"]
    monkeypatch.setattr(importance, "estimate_soh", lambda pipeline, x: OnlyFirst().predict(x)[:, 0])
    told = FeatureRows.from_rows(pipeline, test_rows)
    told = FeatureRows(test_rows.assign(soh=OnlyFirst().predict(told.x)[:, 0]), told.raw, told.x)
    found = importance.permutation_importance(pipeline, told)
    first, *others = found.values()
    assert others == [0.0] * len(others)
    pairs = np.abs(told.x[:, None, 0] - told.x[None, :, 0]).mean()  # what a random partner's value is off by
    assert first == pytest.approx(2.0 * pairs, rel=0.3)
    assert importance.permutation_importance(pipeline, told) == found


ENSEMBLE = {"model": "ensemble", "parts": {"lstm": 0.5, "mlp": 0.3, "lgbm": 0.2}}
MODELS = [{"model": name, "val_mean_cell_mape": error} for name, error in (("lgbm", 0.7), ("mlp", 0.6), ("lstm", 0.5))]


@pytest.mark.parametrize(
    ("chosen", "of_vectors", "explained", "why"),
    [
        ({"model": "mlp"}, {"mlp", "lgbm"}, "mlp", "mlp, the chosen model,"),
        (ENSEMBLE, {"mlp", "lgbm"}, "mlp", "mlp, 30 % of the chosen ensemble (its heaviest"),
        (ENSEMBLE, {"lgbm"}, "lgbm", "lgbm, 20 % of"),
        ({"model": "lstm"}, {"mlp", "lgbm"}, "mlp", "mlp, the best with a feature vector (the chosen lstm reads"),
        ({"model": "lstm"}, set(), "", ""),
    ],
)  # fmt: skip
def test_which_model_is_explained_for_the_chosen_one(
    chosen: dict[str, Any], of_vectors: set[str], explained: str, why: str
) -> None:
    name, words = speaks_for(chosen, MODELS, dict.fromkeys(of_vectors))
    assert name == explained
    assert words.startswith(why)


def test_the_three_cells_and_their_last_check_ups() -> None:
    per_cell = [{"cell_id": cell, "mape": mape} for cell, mape in (("a", 1.0), ("b", None), ("c", 0.2))]
    cells = three_cells({"test": {"per_cell": per_cell}})
    assert cells == {"worst cell": "b", "median cell": "a", "best cell": "c"}
    assert three_cells({"test": {"per_cell": per_cell[:1]}}) == {"worst cell": "a"}
    rows = pd.DataFrame({"cell_id": list("abcab"), "checkup_index": [7, 2, 1, 3, 9]})
    assert last_checkups(rows, cells) == {"worst cell": 4, "median cell": 0, "best cell": 2}


def test_the_figures_of_a_night(
    prepared, trained: list[dict[str, Any]], labelled: pd.DataFrame, tmp_path: Path
) -> None:
    train, test = labelled[labelled["subset"] == "train"], labelled[labelled["subset"] == "test"]
    per_cell = [{"cell_id": cell, "mape": 1.0} for cell in test["cell_id"].unique()]
    blend = {"model": "ensemble", "run_id": "not-a-pipeline", "parts": {"mlp": 1.0}, "test": {"per_cell": per_cell}}
    report = {"label": "xjtu", "models": [*trained, blend], "challenger": "not-a-pipeline"}
    explain_stage(tmp_path, report, prepared.settings.folder("artifacts") / "runs", train, test)
    drawn = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    of_it = {"candidate-shap.png", "candidate-waterfall.png"}
    assert set(drawn) == {"importance.png", "gain.png", "shap.png", "waterfall.png"} | of_it
    assert min(drawn.values()) > 8_000


def test_a_missing_value_is_drawn_in_the_middle() -> None:
    assert explain_figures._ranks(np.array([3.0, np.nan, 1.0, 2.0])).tolist() == [1.0, 0.5, 0.0, 0.5]


def test_a_waterfalls_bars_lead_from_the_mean_estimate_to_this_one() -> None:
    names = tuple(f"feature_{i}" for i in range(14))
    values = np.arange(1.0, 15.0)[None] * np.where(np.arange(14) % 2, -1, 1)
    rows = pd.DataFrame({"cell_id": ["a"], "checkup_index": [3], "soh": [0.5], "prediction": [0.9 - 0.07]})
    found = explain.Contributions(names, 0.9, values, 0 * values, np.full((1, 14), 2.5), rows)
    axes = Figure().subplots()
    explain_figures._draw_panel(axes, found, 0)
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["feature_13 = 2.5", "feature_12 = 2.5"]
    bars = axes.patches
    assert len(bars) == 11  # the ten largest, and one for the four others
    ends = [bar.get_x() + bar.get_width() for bar in bars]
    assert bars[0].get_x() == pytest.approx(0.9)
    assert [bar.get_x() for bar in bars[1:]] == pytest.approx(ends[:-1])
    assert ends[-1] == pytest.approx(0.83)
    assert axes.get_xlim()[0] < 0.5 < max(ends) < axes.get_xlim()[1]  # the label is in sight though it is far off
