"""From settings to fitted models: which seed is used, and what a network learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from battery_core.data.sample import SampleMeta, Samples
from battery_core.models.settings import LGBMSettings, MLPSettings
from battery_core.tracking.local_tracker import LocalTracker
from battery_core.training.fitting import FITTERS, Target
from battery_core.training.settings import LossSettings, TrainerSettings

SETTINGS = {
    "lgbm": LGBMSettings(n_estimators=10, subsample=0.5, min_child_samples=3).model_dump(),
    "mlp": MLPSettings(hidden_dims=(4,)).model_dump(),
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
    fitted = FITTERS.get(name).fit(cells(0), cells(1), settings, seed=7, tracker=tracker)
    tracker.end_run()
    return fitted.model.predict(cells(2).x) * fitted.target.scale + fitted.target.mean


@pytest.mark.parametrize(("name", "section"), [("lgbm", "lgbm"), ("mlp", "trainer")])
def test_the_seed_of_a_section_is_obeyed(tmp_path: Path, name: str, section: str) -> None:
    once = estimates(tmp_path / "a", name)
    assert np.array_equal(once, estimates(tmp_path / "b", name))
    assert not np.array_equal(once, estimates(tmp_path / "c", name, **{section: {"seed": 1}}))


def test_a_relative_loss_is_given_the_soh_itself_others_its_spread(tmp_path: Path) -> None:
    tracker = LocalTracker(tmp_path, use_tensorboard=False)
    tracker.start_run("mape")
    settings = SETTINGS | {"loss": LossSettings(name="mape").model_dump()}
    fitted = FITTERS.get("mlp").fit(cells(0), cells(1), settings, seed=0, tracker=tracker)
    assert fitted.target == Target(0.0, 1.0)
    assert Target.of(cells(0)).mean == pytest.approx(float(cells(0).y.mean()))
