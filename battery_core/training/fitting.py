"""How each kind of model is fitted from the settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from battery_core.base_settings import SectionSettings
from battery_core.data.samples.sample import Samples
from battery_core.models.base import MODELS
from battery_core.models.settings import KernelRidgeSettings, LGBMSettings, LSTMSettings, MLPSettings, NeuralODESettings
from battery_core.registry import Registry
from battery_core.tracking.base import Tracker
from battery_core.training.settings import LossSettings, TrainerSettings

Sections = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """Mean and spread of the training SOH: what a network learns is the SOH in units of its spread.

    Example:
        >>> from battery_core.data.samples.sample import SampleMeta
        >>> train = Samples([[0.0], [0.0]], [0.8, 1.0], [SampleMeta("A"), SampleMeta("A", 1)])
        >>> Target.of(train).scaled(train).y.round(3).tolist()
        [[-1.0], [1.0]]
    """

    mean: float = 0.0
    scale: float = 1.0

    @classmethod
    def of(cls, train: Samples) -> Target:
        """Measured on training cells only."""
        return cls(float(train.y.mean()), float(train.y.std()) or 1.0)

    def scaled(self, samples: Samples) -> Samples:
        """The same samples with scaled labels."""
        return Samples(samples.x, (samples.y - self.mean) / self.scale, samples.meta, samples.mask, samples.t)


@dataclass(frozen=True)
class FitResult:
    """A fitted model, how the fitting went, and what went wrong if it cannot be used.

    Args:
        model: ready to predict.
        history: what the fitting went through, as plain values.
        summary: a few figures for people: best epoch or tree, why it stopped.
        device: where it was fitted, such as ``cpu`` or ``cuda:0 NVIDIA H100``.
        precision: the numbers it was fitted with, such as ``float64`` or ``amp bfloat16``.
        problem: empty, or why the model must not be used.
        target: how the model's output becomes SOH.
    """

    model: Any
    history: Mapping[str, Any]
    summary: Mapping[str, Any]
    device: str
    precision: str
    problem: str = ""
    target: Target = Target()


class Fitter(Protocol):
    """Fits one kind of model."""

    sections: tuple[str, ...]
    """Settings sections that shape the model; others play no part in its result."""
    takes_sequences: bool
    """Whether its samples are histories: check-ups of a cell up to the one to predict."""
    takes_history_features: bool
    """Whether the features that suit a source tell it of the cell's past."""

    def fit(self, train: Samples, val: Samples, settings: Sections, seed: int, tracker: Tracker) -> FitResult:
        """A model fitted on training cells and stopped early on validation cells."""
        ...


class FitLGBM:
    """LightGBM on features as they are: trees need no imputed values."""

    sections = ("lgbm",)
    takes_sequences, takes_history_features = False, True

    def fit(self, train: Samples, val: Samples, settings: Sections, seed: int, tracker: Tracker) -> FitResult:
        """Boost until the validation cells stop improving."""
        from battery_core.models.lgbm import LGBMModel

        given = LGBMSettings(**settings["lgbm"])
        model = LGBMModel(**given.model_copy(update={"seed": (seed + given.seed) % _SEEDS}).model_dump())
        model.fit(train.x, train.y, val.x, val.y)
        for name, values in model.history.items():
            for tree, value in enumerate(values):
                tracker.log_metrics({name: value}, step=tree)
        # LightGBM has gradients in float32 and adds them up in float64
        return FitResult(model, model.history, {"best_epoch": model.best_iteration}, "cpu", "float32, sums float64")


class FitKernelRidge:
    """Kernel ridge regression: a closed form for each length scale and noise, the best on validation cells stay."""

    sections = ("kernel_ridge",)
    takes_sequences, takes_history_features = False, True

    def fit(self, train: Samples, val: Samples, settings: Sections, seed: int, tracker: Tracker) -> FitResult:
        """Solve; nothing in it is random."""
        from battery_core.models.kernel_ridge import KernelRidgeModel

        model = KernelRidgeModel(**KernelRidgeSettings(**settings["kernel_ridge"]).model_dump())
        model.fit(train.x, train.y, train.cell_ids, val.x, val.y, val.cell_ids)
        for step, error in enumerate(model.history.get("val_mape", [])):
            tracker.log_metrics({"val_mape": error}, step=step)
        summary = {"length_scale": model.length_scale, "noise": model.noise}
        return FitResult(model, model.history, summary, "cpu", "float64")


class FitNetwork:
    """A network by its name, trained by the Trainer; a killed job goes on from its last checkpoint."""

    model: ClassVar[str]
    settings: ClassVar[type[SectionSettings]]
    takes_sequences: bool = False
    takes_history_features: bool = False
    sections: tuple[str, ...] = ("trainer", "loss")

    def __init_subclass__(cls) -> None:
        cls.sections = (cls.model, *FitNetwork.sections)

    def fit(self, train: Samples, val: Samples, settings: Sections, seed: int, tracker: Tracker) -> FitResult:
        """Train until the validation cells stop improving."""
        from battery_core.seeding import seed_everything
        from battery_core.training.checkpoint import LAST
        from battery_core.training.device import device_name
        from battery_core.training.loop.history import StopReason
        from battery_core.training.trainer import Trainer

        loss = LossSettings(**settings["loss"])
        config = TrainerSettings(**settings["trainer"])
        batch = min(config.batch_size, max(_SMALLEST_BATCH, len(train) // _FEWEST_STEPS))
        seed = (seed + config.seed) % _SEEDS
        config = config.model_copy(update={"seed": seed, "batch_size": batch})
        target = Target() if loss.name == "mape" else Target.of(train)  # a relative loss needs the SOH itself
        seed_everything(seed)  # the initial weights too
        model = MODELS.get(self.model, train.feature_dim, **self.settings(**settings[self.model]).model_dump())
        trainer = Trainer(model, config, tracker, loss)
        last = _checkpoint(tracker.run_dir, LAST)
        history = trainer.fit(target.scaled(train), target.scaled(val), resume=last)
        problem = history.stop_detail if history.stop_reason is StopReason.NON_FINITE else ""
        summary = {"best_epoch": history.best_epoch, "stop_reason": str(history.stop_reason), "batch_size": batch}
        where, numbers = device_name(trainer.device), trainer.precision.name
        return FitResult(model, history.to_dict(), summary, where, numbers, problem, target)


class FitMLP(FitNetwork):
    """The multi-layer perceptron on single check-ups."""

    model, settings = "mlp", MLPSettings


class FitMLPHistory(FitMLP):
    """The same perceptron, told of the cell's past: the two err differently, and their mean errs least."""

    takes_history_features = True


class FitLSTM(FitNetwork):
    """The LSTM with attention over histories."""

    model, settings, takes_sequences = "lstm", LSTMSettings, True


class FitNeuralODE(FitNetwork):
    """The latent neural ODE over histories."""

    model, settings, takes_sequences = "neural_ode", NeuralODESettings, True


_SEEDS = 2**31
_SMALLEST_BATCH = 16
_FEWEST_STEPS = 16  # an epoch over a small set still takes this many optimizer steps


def _checkpoint(run_dir: Path | None, name: str) -> Path | None:
    file = run_dir / "checkpoints" / name if run_dir else None
    return file if file is not None and file.is_file() else None


FITTERS: Registry[Fitter] = Registry(
    "model",
    {
        "lgbm": "battery_core.training.fitting:FitLGBM",
        "mlp": "battery_core.training.fitting:FitMLP",
        "mlp_history": "battery_core.training.fitting:FitMLPHistory",
        "kernel_ridge": "battery_core.training.fitting:FitKernelRidge",
        "lstm": "battery_core.training.fitting:FitLSTM",
        "neural_ode": "battery_core.training.fitting:FitNeuralODE",
    },
)
"""Beside ``MODELS``: the same names, and how each is fitted."""
