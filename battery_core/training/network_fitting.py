"""Fit a network from the settings of a run; apart from other fitters, which need no torch."""

from __future__ import annotations

from pathlib import Path

from battery_core.data.samples.sample import Samples
from battery_core.models.nn.base import TorchModel
from battery_core.models.registry import ModelSpec
from battery_core.seeding import seed_everything
from battery_core.tracking.base import Tracker
from battery_core.training.checkpoint import LAST
from battery_core.training.device import device_name
from battery_core.training.fitting import SEEDS, FitResult, Sections, Target
from battery_core.training.history import StopReason
from battery_core.training.losses.settings import LossSettings
from battery_core.training.settings import TrainerSettings
from battery_core.training.trainer import Trainer

_SMALLEST_BATCH = 16
_FEWEST_STEPS = 16  # an epoch over a small set still takes this many optimizer steps


def fit_network(
    spec: ModelSpec, train: Samples, val: Samples, settings: Sections, seed: int, tracker: Tracker
) -> FitResult:
    """Train a network until the validation cells stop improving; a killed job resumes at its last checkpoint."""
    network = spec.load_regressor()
    assert issubclass(network, TorchModel), f"{spec.regressor}: expected a TorchModel"
    loss = LossSettings(**settings["loss"])
    config = TrainerSettings(**settings["trainer"])
    batch = min(config.batch_size, max(_SMALLEST_BATCH, len(train) // _FEWEST_STEPS))
    seed = (seed + config.seed) % SEEDS
    config = config.model_copy(update={"seed": seed, "batch_size": batch})
    target = Target() if loss.name == "mape" else Target.of(train)  # a relative loss needs the SOH itself
    seed_everything(seed)  # the initial weights too
    model = network(train.feature_dim, **spec.load_settings()(**settings[spec.settings_section]).model_dump())
    trainer = Trainer(model, config, tracker, loss)
    history = trainer.fit(target.scaled(train), target.scaled(val), resume=_last_checkpoint(tracker.run_dir))
    problem = history.stop_detail if history.stop_reason is StopReason.NON_FINITE else ""
    summary = {"best_epoch": history.best_epoch, "stop_reason": str(history.stop_reason), "batch_size": batch}
    return FitResult(
        model, history.to_dict(), summary, device_name(trainer.device), trainer.precision.name, problem, target
    )


def _last_checkpoint(run_dir: Path | None) -> Path | None:
    file = run_dir / "checkpoints" / LAST if run_dir else None
    return file if file is not None and file.is_file() else None
