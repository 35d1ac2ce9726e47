"""What models of histories look at: shares of attention that belong to the cell's own past, and latent paths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from battery_core.evaluation.explain.sequences import attention_weights
from battery_core.models.lstm_attention import LSTMAttentionModel
from battery_core.models.neural_ode import NeuralODEModel
from battery_core.predictors.pipeline import Pipeline
from battery_core.stages.evaluation.explain import explain
from battery_core.stages.training.candidate import PIPELINE_FOLDER


@pytest.fixture
def of_histories(pipelines: dict[str, Pipeline]) -> dict[str, Pipeline]:
    """Untrained models of histories behind the features and the scaler of a trained one."""
    base = pipelines["mlp"]
    settings = base.feature_pipeline.settings.model_copy(update={"history_time": "checkup_index"})
    features = replace(base.feature_pipeline, settings=settings, takes_sequences=True)
    width = len(base.feature_names)
    torch.manual_seed(0)
    models = {"lstm": LSTMAttentionModel(width, hidden_dim=8), "neural_ode": NeuralODEModel(width, hidden_dim=8)}
    return {
        name: replace(base, model_name=name, model=model.eval(), feature_pipeline=features)
        for name, model in models.items()
    }


def test_attention_is_shared_among_the_past_of_the_cell(
    of_histories: dict[str, Pipeline], test_rows: pd.DataFrame
) -> None:
    cell = test_rows[test_rows["cell_id"] == test_rows["cell_id"].iloc[0]].reset_index(drop=True)
    weights = attention_weights(of_histories["lstm"], cell, np.arange(len(cell)))
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-5)
    assert np.triu(weights, 1).max() == 0.0  # nothing later than the check-up that is estimated
    assert weights[0, 0] == pytest.approx(1.0)
    assert (weights[-1] > 0).sum() > 1


def test_the_figures_of_models_of_histories(
    of_histories: dict[str, Pipeline], test_rows: pd.DataFrame, tmp_path: Path
) -> None:
    per_cell = [{"cell_id": cell, "mape": 1.0} for cell in test_rows["cell_id"].unique()]
    models = []
    for name, pipeline in of_histories.items():
        pipeline.save(tmp_path / "runs" / name / PIPELINE_FOLDER)
        models.append({"model": name, "run_id": name, "test": {"per_cell": per_cell}})
    report = {"label": "xjtu", "models": models, "challenger": "lstm"}
    explain(tmp_path / "report", report, tmp_path / "runs", test_rows, test_rows)
    drawn = {file.name: file.stat().st_size for file in (tmp_path / "report").iterdir()}
    assert set(drawn) == {"attention.png", "latent.png"}
    assert min(drawn.values()) > 8_000
