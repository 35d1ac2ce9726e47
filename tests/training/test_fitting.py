"""From settings to fitted models: which seed is used, and what a network learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from battery_core.data.samples.sample import SampleMeta, Samples
from battery_core.models.registry import MODELS
from battery_core.models.settings import LGBMSettings, LSTMSettings, MLPSettings, NeuralODESettings
from battery_core.tracking.local_tracker import LocalTracker
from battery_core.training.fitting import Target, fit_model
from battery_core.training.losses.settings import LossSettings
from battery_core.training.settings import TrainerSettings

SETTINGS = {
    "lgbm": LGBMSettings(n_estimators=10, subsample=0.5, min_child_samples=3).model_dump(),
    "mlp": MLPSettings(hidden_dims=(4,)).model_dump(),
    "lstm": LSTMSettings(hidden_dim=8, head_dims=(8,), dropout=0.0).model_dump(),
    "neural_ode": NeuralODESettings(latent_dim=4, hidden_dim=8, head_dims=(8,)).model_dump(),
    "trainer": TrainerSettings(epochs=2, device="cpu", progress=False).model_dump(),
    "loss": LossSettings().model_dump(),
}


def cells(seed: int) -> Samples:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(60, 3))
    meta = [SampleMeta(f"{seed}{i % 3}", i) for i in range(60)]
    return Samples(x, 0.9 + 0.02 * x[:, :1] + 0.01 * generator.normal(size=(60, 1)), meta)


def estimates(tmp_path: Path, name: str, **changes: Any) -> np.ndarray:
    settings = {section: values | changes.get(section, {}) for section, values in SETTINGS.items()}
    tracker = LocalTracker(tmp_path, use_tensorboard=False)
    tracker.start_run(name)
    fitted = fit_model(name, cells(0), cells(1), settings, seed=7, tracker=tracker)
    tracker.end_run()
    return fitted.model.predict(cells(2).x) * fitted.target.scale + fitted.target.mean


@pytest.mark.parametrize(
    ("name", "section"), [("lgbm", "lgbm"), ("mlp", "trainer"), ("lstm", "trainer"), ("neural_ode", "trainer")]
)
def test_the_seed_of_a_section_is_obeyed(tmp_path: Path, name: str, section: str) -> None:
    once = estimates(tmp_path / "a", name)
    assert np.array_equal(once, estimates(tmp_path / "b", name))
    assert not np.array_equal(once, estimates(tmp_path / "c", name, **{section: {"seed": 1}}))


def test_a_relative_loss_is_given_the_soh_itself_others_its_spread(tmp_path: Path) -> None:
    tracker = LocalTracker(tmp_path, use_tensorboard=False)
    tracker.start_run("mape")
    settings = SETTINGS | {"loss": LossSettings(name="mape").model_dump()}
    fitted = fit_model("mlp", cells(0), cells(1), settings, seed=0, tracker=tracker)
    assert fitted.target == Target(0.0, 1.0)
    assert Target.of(cells(0)).mean == pytest.approx(float(cells(0).y.mean()))


HISTORY_MODELS = [name for name, spec in MODELS.items() if spec.takes_sequences]


def histories(seed: int) -> Samples:
    """The SOH is the present feature less what the cell has lost since its first check-up: one row cannot tell."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(300, 3, 2))
    y = 0.9 + 0.02 * (x[:, -1, :1] - x[:, 0, 1:])
    mask, t = np.ones((300, 3), dtype=bool), np.tile(np.arange(3.0) * 30, (300, 1))
    return Samples(x, y, [SampleMeta(f"{seed}{i % 6}", i) for i in range(300)], mask, t)


def fit(name: str, tracker: LocalTracker, epochs: int) -> Any:
    trainer = TrainerSettings(epochs=epochs, learning_rate=0.01, scheduler_T0=30, device="cpu", progress=False)
    settings = SETTINGS | {"trainer": trainer.model_dump()}
    return fit_model(name, histories(0), histories(1), settings, seed=0, tracker=tracker)


def test_models_that_read_histories_are_known_by_name() -> None:
    assert HISTORY_MODELS == ["lstm", "neural_ode"]


@pytest.mark.parametrize("name", HISTORY_MODELS)
def test_a_history_is_learnt_from_and_a_cut_off_fit_goes_on(name: str, tmp_path: Path) -> None:
    whole, parts = (LocalTracker(tmp_path / folder, use_tensorboard=False) for folder in ("whole", "parts"))
    whole.start_run("w")
    parts.start_run("p")
    fitted, test = fit(name, whole, 30), histories(2)
    error = fitted.model.predict(test.x, mask=test.mask, t=test.t) * fitted.target.scale + fitted.target.mean - test.y
    without_history = np.abs(test.y - 0.9 - 0.02 * test.x[:, -1, :1]).mean()
    assert np.abs(error).mean() < 0.5 * without_history
    fit(name, parts, 12)  # what is left of a job that was killed: its last checkpoint
    resumed = fit(name, parts, 30)
    assert resumed.summary == fitted.summary
    np.testing.assert_array_equal(
        resumed.model.predict(test.x, mask=test.mask, t=test.t), fitted.model.predict(test.x, mask=test.mask, t=test.t)
    )
