"""What estimates rest on: SHAP values add up to the estimate, and a feature nobody needs has no weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.data.splits import CellSplit
from battery_core.evaluation import explain, explain_figures
from battery_core.models.pipeline import Pipeline
from battery_core.stages.candidate import PIPELINE_FOLDER
from battery_core.stages.explain import explain as explain_stage
from battery_core.stages.train import labelled_rows


@pytest.fixture
def test_rows(prepared) -> pd.DataFrame:
    split = CellSplit.from_json(prepared.split.path.read_text())
    rows = labelled_rows(prepared.tables.path, split, "nominal")
    return rows[rows["part"] == "test"].reset_index(drop=True)


@pytest.fixture
def pipelines(prepared, trained: list[dict[str, Any]]) -> dict[str, Pipeline]:
    runs = prepared.settings.folder("artifacts") / "runs"
    return {r["model"]: Pipeline.load(runs / r["run_id"] / PIPELINE_FOLDER) for r in trained}


def test_shap_values_add_up_to_what_the_pipeline_estimates(
    pipelines: dict[str, Pipeline], test_rows: pd.DataFrame
) -> None:
    cell = test_rows["cell_id"].iloc[0]
    found = explain.contributions(pipelines["lgbm"], test_rows, cell)
    served = pd.Series(pipelines["lgbm"].predict(test_rows), index=test_rows.index)
    assert found.base + found.values.sum(axis=1) / 100 == pytest.approx(served[found.rows.index].to_numpy(), abs=1e-9)
    assert set(test_rows.index[test_rows["cell_id"] == cell]) <= set(found.rows.index)


def test_gain_is_shared_out_whole(pipelines: dict[str, Pipeline]) -> None:
    found = explain.gain(pipelines["lgbm"])
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
    monkeypatch.setattr(explain, "_soh", lambda pipeline, x: OnlyFirst().predict(x)[:, 0])
    x = pipeline.scaler.transform(pipeline.features(test_rows).to_numpy(dtype=np.float64))
    rows = test_rows.assign(soh=OnlyFirst().predict(x)[:, 0])
    found = explain.permutation(pipeline, rows)
    first, *others = found.values()
    assert others == [0.0] * len(others)
    pairs = np.abs(x[:, None, 0] - x[None, :, 0]).mean()  # what a random partner's value is off by
    assert first == pytest.approx(2.0 * pairs, rel=0.3)
    assert explain.permutation(pipeline, rows) == found


def test_the_figures_of_a_night(
    prepared, trained: list[dict[str, Any]], test_rows: pd.DataFrame, tmp_path: Path
) -> None:
    models = [r | {"test": {"worst_cell": test_rows["cell_id"].iloc[-1]}} for r in trained]
    blend = {"model": "blend", "run_id": "not-a-pipeline", "test": {"worst_cell": ""}}
    runs = prepared.settings.folder("artifacts") / "runs"
    explain_stage(tmp_path, [*models, blend], runs, test_rows, "xjtu")
    drawn = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert set(drawn) == {"importance.png", "gain.png", "shap.png", "waterfall.png"}
    assert min(drawn.values()) > 8_000


def test_a_missing_value_is_drawn_in_the_middle() -> None:
    assert explain_figures._ranks(np.array([3.0, np.nan, 1.0, 2.0])).tolist() == [1.0, 0.5, 0.0, 0.5]
