"""Fit any model from the settings of a run: the entry of training jobs, and the fitter of array regressors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from battery_core.data.samples.sample import Samples
from battery_core.models.base import ArrayRegressor, Regressor
from battery_core.models.registry import ModelSpec, model_spec
from battery_core.tracking.base import Tracker

Sections = Mapping[str, Any]
SEEDS = 2**31
"""Seeds are below this number: LightGBM takes no larger ones."""


@dataclass(frozen=True)
class Target:
    """Store mean and spread of the training SOH; a network predicts SOH in units of its spread.

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
        """Measure training samples; never give it samples of validation or test cells."""
        return cls(float(train.y.mean()), float(train.y.std()) or 1.0)

    def scaled(self, samples: Samples) -> Samples:
        """Return the same samples with scaled labels."""
        return Samples(samples.x, (samples.y - self.mean) / self.scale, samples.meta, samples.mask, samples.t)


@dataclass(frozen=True)
class FitResult:
    """Store a fitted model, metrics of the fit, and the error if it cannot be used.

    Args:
        model: ready to predict.
        history: series of the fit, as plain values.
        summary: a few figures for people: best epoch or tree, why it stopped.
        device: where it was fitted, such as ``cpu`` or ``cuda:0 NVIDIA H100``.
        precision: number format of the fit, such as ``float64`` or ``amp bfloat16``.
        problem: empty, or why the model must not be used.
        target: how the model's output becomes SOH.
    """

    model: Regressor
    history: Mapping[str, Any]
    summary: Mapping[str, Any]
    device: str
    precision: str
    problem: str = ""
    target: Target = Target()


class Fitter(Protocol):
    """A function that fits one kind of model; ``ModelSpec.fitter`` has its address."""

    def __call__(
        self, spec: ModelSpec, train: Samples, val: Samples, settings: Sections, seed: int, tracker: Tracker
    ) -> FitResult:
        """Fit to training cells and stop early on validation cells."""
        ...


def fit_model(name: str, train: Samples, val: Samples, settings: Sections, seed: int, tracker: Tracker) -> FitResult:
    """Fit a model to training cells and stop early on validation cells.

    Args:
        name: of the model.
        train: scaled samples of training cells; sequences for a model that takes them.
        val: those of validation cells.
        settings: sections as plain values; those of ``ModelSpec.sections`` are read.
        seed: of this model.
        tracker: takes the curves of the fit.

    Raises:
        UnknownNameError: there is no such model.
    """
    spec = model_spec(name)
    fitter: Fitter = spec.load_fitter()
    return fitter(spec, train, val, settings, seed, tracker)


def fit_regressor(
    spec: ModelSpec, train: Samples, val: Samples, settings: Sections, seed: int, tracker: Tracker
) -> FitResult:
    """Fit an array regressor; a ``seed`` among its settings becomes that of the run plus its own."""
    regressor = spec.load_regressor()
    assert issubclass(regressor, ArrayRegressor), f"{spec.regressor}: expected an ArrayRegressor"
    params = spec.load_settings()(**settings[spec.settings_section]).model_dump()
    if "seed" in params:
        params["seed"] = (seed + params["seed"]) % SEEDS
    model = regressor(**params).fit(train.x, train.y, val.x, val.y, train_cells=train.cell_ids, val_cells=val.cell_ids)
    for name, values in model.history.items():
        for step, value in enumerate(values if name.startswith("val_") else ()):
            tracker.log_metrics({name: value}, step=step)
    return FitResult(model, model.history, model.summary, "cpu", model.precision)
