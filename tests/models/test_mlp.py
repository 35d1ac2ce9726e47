"""The perceptron and what all torch models share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from battery_core.errors import DataError, SettingsError
from battery_core.models.lgbm import LGBMModel
from battery_core.models.mlp import MLPModel
from battery_core.models.nn import base as torch_base
from battery_core.models.registry import MODELS
from battery_core.models.settings import MLPSettings

X = np.random.default_rng(0).normal(size=(50, 5))


def test_settings_make_the_model() -> None:
    model = MODELS["mlp"].load_regressor()(
        input_dim=5, **MLPSettings(hidden_dims="8,4", activation="gelu").model_dump()
    )
    widths = [(layer.in_features, layer.out_features) for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert widths == [(5, 8), (8, 4), (4, 1)]
    assert sum(isinstance(layer, nn.Dropout) for layer in model.modules()) == 2
    assert any(isinstance(layer, nn.GELU) for layer in model.modules())


def test_prediction_is_without_dropout_and_leaves_the_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MLPModel(5, [16], dropout=0.5).train()
    whole = model.predict(X)
    assert model.training
    assert whole.shape == (50, 1)
    assert whole.dtype == np.float64
    monkeypatch.setattr(torch_base, "_CHUNK", 7)
    np.testing.assert_allclose(model.predict(X), whole, rtol=1e-6, atol=1e-7)
    assert model.predict(X[:0]).shape == (0, 1)


def test_save_and_load_give_the_same_predictions(tmp_path: Path) -> None:
    model = MLPModel(5, [16, 4], dropout=0.2, output_dim=2, activation="tanh")
    model.save(tmp_path / "model")
    loaded = MLPModel.load(tmp_path / "model")
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert loaded.hyperparameters == model.hyperparameters
    assert not loaded.training
    torch.load(tmp_path / "model" / "model.pt", weights_only=True)


@pytest.mark.parametrize("init", ["xavier", "he"])
def test_initial_weights_have_the_stated_spread(init: str) -> None:
    torch.manual_seed(0)
    model = MLPModel(200, [300], init=init)
    first = next(layer for layer in model.modules() if isinstance(layer, nn.Linear))
    want = (2 / (200 + 300)) ** 0.5 if init == "xavier" else (2 / 200) ** 0.5
    assert first.weight.std().item() == pytest.approx(want, rel=0.02)
    assert (first.bias == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_dim": 0}, r"MLPModel input_dim: expected at least 1 feature, got 0"),
        ({"input_dim": 2, "dropout": 1.0}, r"MLPModel dropout: expected a share from 0 up to 1, got 1.0"),
        ({"input_dim": 2, "activation": "rely"}, r"activation 'rely': expected one of relu, gelu, silu, tanh"),
        ({"input_dim": 2, "init": "zero"}, r"init 'zero': expected torch, xavier or he"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        MLPModel(**arguments)


def test_wrong_folders_and_rows_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"MLPModel: expected 5 features, got 4"):
        MLPModel(5).predict(X[:, :4])
    with pytest.raises(DataError, match=r"expected 'model.json' in it, found none"):
        MLPModel.load(tmp_path)
    LGBMModel(n_estimators=2).fit(X, X[:, 0]).save(tmp_path)
    with pytest.raises(DataError, match=r"expected a MLPModel, found a LGBMModel"):
        MLPModel.load(tmp_path)
    MLPModel(5).save(tmp_path)
    (tmp_path / "model.pt").unlink()
    with pytest.raises(DataError, match=r"expected 'model.pt' in it, found none"):
        MLPModel.load(tmp_path)
