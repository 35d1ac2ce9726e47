"""Models as ONNX graphs: from features in their own units to the very SOH, whatever the number of check-ups."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch

from battery_core.data.splits.cell_split import CellSplit
from battery_core.errors import SettingsError, TrainingError
from battery_core.features.base import build_features
from battery_core.features.scaling import Scaler
from battery_core.features.settings import FeatureSettings
from battery_core.models.lstm_attention import LSTMAttentionModel
from battery_core.models.mlp import MLPModel
from battery_core.predictors.feature_pipeline import FeaturePipeline
from battery_core.predictors.pipeline import Pipeline
from battery_core.predictors.weighted_ensemble import WeightedEnsemble
from battery_core.release.package.onnx_export import CONTRACT_FILE, GRAPH_FILE, export_onnx, inputs_of
from battery_core.settings import resolve
from battery_core.stages.labelled_rows import labelled_rows

MODELS = ("mlp", "members", "lstm", "lstm members")


@pytest.fixture(scope="module")
def rows(prepared) -> pd.DataFrame:
    split = CellSplit.from_json(prepared.split.path.read_text())
    return labelled_rows(prepared.tables.path, split, "nominal").reset_index(drop=True)


def pipeline_of(kind: str, rows: pd.DataFrame) -> Pipeline:
    """Untrained weights serve as well as any."""
    settings = FeatureSettings(sets=("charge",), history_time="cycle_count", history_checkups=6)
    features = build_features(rows, settings.sets, settings)
    scaler = Scaler.fit(features, clip_quantile=0.05 if kind == "members" else 0.0)
    torch.manual_seed(3)
    width, lstm, n_members = features.shape[1], kind.startswith("lstm"), 3 if kind.endswith("members") else 1
    model: Any = (
        LSTMAttentionModel(width, hidden_dim=8, num_layers=2, head_dims=(8,), n_members=n_members)
        if lstm
        else MLPModel(width, hidden_dims=(16, 8), n_members=n_members)
    )
    raw = ("cell_id", "checkup_index", *features)
    name = "lstm" if lstm else "mlp"
    made = FeaturePipeline(settings, tuple(features), raw, scaler, lstm)
    return Pipeline(name, model.eval(), made, 0.9, 0.1, {"data_version": "v1"})


def said(folder: Path, given: dict[str, Any]) -> Any:
    return onnxruntime.InferenceSession(str(folder / GRAPH_FILE)).run(["soh"], given)[0]


@pytest.mark.parametrize("kind", MODELS)
def test_it_says_what_the_model_says_of_any_number_of_checkups(kind: str, rows: pd.DataFrame, tmp_path: Path) -> None:
    pipeline = pipeline_of(kind, rows)
    (name,) = export_onnx(pipeline, rows[rows["subset"] == "test"], tmp_path)
    others = rows[rows["subset"] == "train"].copy()
    others.loc[others.index[3], "voltage_mean_V"] = np.nan
    others.loc[others.index[4], "voltage_mean_V"] = 2.0  # clipped where the scaler clips
    for some in (others, others.iloc[:1], others.iloc[:5]):
        expected = pipeline.predict(some)
        np.testing.assert_allclose(said(tmp_path / name, inputs_of(pipeline, some)), expected, rtol=1e-5, atol=1e-5)
    assert pipeline.predict(others).std() > 1e-3
    contract = json.loads((tmp_path / name / CONTRACT_FILE).read_text())
    assert contract["inputs"]["features"]["columns"] == list(pipeline.feature_names)
    assert list(contract["inputs"]) == (
        ["features", "mask", "t"] if pipeline.feature_pipeline.takes_sequences else ["features"]
    )
    assert (contract["opset"], contract["data_version"], contract["weight_in_candidate"]) == (17, "v1", 1.0)
    assert contract["checked"]["rows"] == (rows["subset"] == "test").sum()
    assert 0 <= contract["checked"]["largest_difference"] < 1e-5


def test_padding_may_stand_anywhere_in_a_history(rows: pd.DataFrame, tmp_path: Path) -> None:
    pipeline = pipeline_of("lstm", rows)
    export_onnx(pipeline, rows, tmp_path)
    generator = np.random.default_rng(0)
    mask = generator.random((40, 9)) < 0.6
    mask[:, 4] = True
    time = np.cumsum(generator.uniform(1, 30, mask.shape), axis=1).astype(np.float32)
    features = generator.normal(size=(*mask.shape, len(pipeline.feature_names))) * pipeline.feature_pipeline.scaler.std
    features += pipeline.feature_pipeline.scaler.mean
    output = pipeline.model.predict(pipeline.feature_pipeline.scaler.transform(features), mask=mask, t=time)[:, 0]
    found = said(tmp_path / "lstm", {"features": features, "mask": mask, "t": time})
    np.testing.assert_allclose(found, output * pipeline.target_scale + pipeline.target_mean, rtol=0, atol=1e-6)


def test_a_graph_that_differs_is_refused(rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = pipeline_of("mlp", rows)
    predict = Pipeline.predict
    monkeypatch.setattr(Pipeline, "predict", lambda self, given: predict(self, given) + 3e-5)
    with pytest.raises(
        TrainingError, match=rf"ONNX of 'mlp': expected .* all {len(rows)} test rows to 1e-05, found .* of 3e-05 - "
    ):
        export_onnx(pipeline, rows, tmp_path)
    assert not (tmp_path / "mlp" / CONTRACT_FILE).exists()


def test_of_a_mean_of_models_each_perceptron_is_written_with_its_weight(rows: pd.DataFrame, tmp_path: Path) -> None:
    mlp = pipeline_of("mlp", rows)
    trees = replace(mlp, model_name="lgbm", model=None)
    assert export_onnx(WeightedEnsemble((trees, mlp), (0.75, 0.25)), rows, tmp_path) == ["1-mlp"]
    contract = json.loads((tmp_path / "1-mlp" / CONTRACT_FILE).read_text())
    assert contract["weight_in_candidate"] == 0.25
    assert export_onnx(trees, rows, tmp_path) == []


def test_without_the_packages_the_setting_is_refused(no_settings_around: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve({"release.onnx": True}).release.onnx
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"release\.onnx.*package onnx and onnxruntime is not installed: pip inst"):
        resolve({"release.onnx": True})
