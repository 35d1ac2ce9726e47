"""Models of histories: saving, single check-ups, initial weights and refused arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from battery_core.errors import SettingsError
from battery_core.models.lstm_attention import LSTMAttentionModel
from battery_core.models.neural_ode import NeuralODEModel
from battery_core.models.settings import LSTMSettings, NeuralODESettings

RNG = np.random.default_rng(0)
MADE = [(LSTMAttentionModel, LSTMSettings(hidden_dim=8)), (NeuralODEModel, NeuralODESettings(solver="midpoint"))]


@pytest.mark.parametrize(("cls", "settings"), MADE)
def test_save_and_load_give_the_same_predictions(cls: Any, settings: Any, tmp_path: Path) -> None:
    model = cls(input_dim=3, **settings.model_dump())
    x = RNG.normal(size=(4, 6, 3))
    model.save(tmp_path)
    assert np.array_equal(cls.load(tmp_path).predict(x), model.predict(x))


@pytest.mark.parametrize(("cls", "settings"), MADE)
def test_a_single_checkup_is_a_history_of_one(cls: Any, settings: Any) -> None:
    model = cls(input_dim=3, **settings.model_dump())
    x = RNG.normal(size=(4, 3))
    np.testing.assert_allclose(model.predict(x), model.predict(x[:, None, :]), atol=1e-7)


@pytest.mark.parametrize("init", ["xavier", "he"])
@pytest.mark.parametrize(("cls", "settings"), MADE)
def test_initial_weights_zero_the_biases(cls: Any, settings: Any, init: str) -> None:
    model = cls(input_dim=3, **settings.model_copy(update={"init": init}).model_dump())
    assert all((p == 0).all() for name, p in model.named_parameters() if "bias" in name)


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (
            LSTMAttentionModel,
            {"hidden_dim": 5, "n_heads": 3},
            r"n_heads: expected a divisor of 2 x hidden_dim = 10, got 3",
        ),
        (NeuralODEModel, {"solver": "dopri"}, r"neural_ode.solver: .*'dopri5'.*; got 'dopri'"),
        (NeuralODEModel, {"n_steps": 0}, r"neural_ode.n_steps: .*greater than or equal to 1; got 0"),
    ],
)
def test_wrong_arguments_are_named(cls: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        cls(3, **arguments)
