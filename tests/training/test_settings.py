"""Names, defaults and limits of training settings; what is imported to read them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from torch import nn

from battery_core.errors import SettingsError, TrainingError, UnknownNameError
from battery_core.training import LossRegistry, Trainer
from battery_core.training.losses.settings import LossSettings
from battery_core.training.settings import TrainerSettings

GUIDE_DEFAULTS = {
    "epochs": 200,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "early_stopping_patience": 20,
    "gradient_clip": 1.0,
    "use_amp": True,
    "scheduler_T0": 50,
}


def test_defaults_are_those_of_the_guide() -> None:
    settings = TrainerSettings().model_dump()
    assert {name: settings[name] for name in GUIDE_DEFAULTS} == GUIDE_DEFAULTS


def test_unknown_key_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown trainer setting 'epoch': did you mean 'epochs'"):
        Trainer(nn.Linear(1, 1), {"epoch": 5})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"batch_size": 0}, r"trainer.batch_size: .*greater than or equal to 1; got 0"),
        ({"learning_rate": "fast"}, r"trainer.learning_rate: .*valid number.*got 'fast'"),
        ({"device": "tpu"}, r"trainer.device: .*'auto', 'cpu', 'cuda' or 'mps'; got 'tpu'"),
    ],
)
def test_wrong_value_is_named(config: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Trainer(nn.Linear(1, 1), config)


def test_missing_device_is_named() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(TrainingError, match=r"device 'cuda' is not on this machine: expected 'auto' or one of .*cpu"):
        Trainer(nn.Linear(1, 1), {"device": "cuda"})


def test_loss_name_is_checked_against_the_registry() -> None:
    with pytest.raises(ValueError, match=r"unknown loss 'hubber': did you mean 'huber'"):
        LossSettings(name="hubber")


def test_registry_lists_the_five_losses_first() -> None:
    assert LossRegistry.list_available()[:5] == ["mse", "physics_informed", "huber", "mape", "mae"]


HEAVY = {"torch", "mlflow", "lightgbm", "matplotlib", "pandas", "sklearn", "tensorboard"}


def imported_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return HEAVY & set(done.stdout.split())


def test_settings_and_registry_import_no_heavy_package() -> None:
    modules = ("training.settings", "models.settings", "models.registry", "training.metrics")
    imports = "; ".join(f"import battery_core.{module}" for module in modules)
    code = f"{imports}; from battery_core.training import TrainerSettings, LossRegistry"
    assert imported_by(code) == set()


def test_trainer_imports_torch_and_no_other_heavy_package() -> None:
    code = "from battery_core.training import Trainer; from battery_core.tracking.dual_tracker import DualTracker"
    assert imported_by(code) == {"torch"}


def test_unknown_attribute_of_the_room_is_named() -> None:
    import battery_core.training as room

    with pytest.raises(AttributeError, match=r"has no attribute 'Trainr'; it has .*Trainer"):
        room.Trainr  # noqa: B018
