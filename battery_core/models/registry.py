"""The models by name; one entry has everything that settings, training, packaging and ONNX export need.

A new model needs a module with its regressor and its settings, and an entry here. Addresses are strings, so that
nothing is imported before it is used; a job key follows them like imports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from battery_core.base_settings import SectionSettings
from battery_core.errors import unknown_name
from battery_core.registry import import_address

if TYPE_CHECKING:  # settings import this module: --help must not wait for numpy
    from battery_core.models.base import Regressor


@dataclass(frozen=True)
class ModelSpec:
    """Describe one model.

    Args:
        name: what ``models`` in the settings calls it.
        description: one line for the help of its settings section.
        regressor: address of its class, a ``Regressor``.
        settings: address of its settings class. Its module must import quickly: every command reads it.
        section: settings section; empty: the name of the model. Models may share one.
        fitter: address of the function that fits it, see ``battery_core.training.fitting``.
        fitter_sections: further settings sections that shape the fitted model.
        requirements: distributions that its package needs beyond numpy and pandas.
        exports_onnx: whether ``release.onnx`` writes it; only networks can be written.
        takes_sequences: whether it reads a cell's check-ups in order, up to the one to predict.
        takes_history_features: whether ``features.history_sets`` are among its features.
        is_default: whether it is trained where ``models`` is not set.
    """

    name: str
    description: str
    regressor: str
    settings: str
    section: str = ""
    fitter: str = "battery_core.training.fitting:fit_regressor"
    fitter_sections: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    exports_onnx: bool = False
    takes_sequences: bool = False
    takes_history_features: bool = False
    is_default: bool = False

    @property
    def settings_section(self) -> str:
        """Return the name of its settings section."""
        return self.section or self.name

    @property
    def sections(self) -> tuple[str, ...]:
        """Return the settings sections that shape the fitted model; others are not part of its job key."""
        return (self.settings_section, *self.fitter_sections)

    def load_regressor(self) -> type[Regressor]:
        """Import the class of the model."""
        regressor: type[Regressor] = import_address(self.regressor)
        return regressor

    def load_settings(self) -> type[SectionSettings]:
        """Import the class of its settings."""
        settings: type[SectionSettings] = import_address(self.settings)
        return settings

    def load_fitter(self) -> Callable[..., Any]:
        """Import the function that fits it."""
        fitter: Callable[..., Any] = import_address(self.fitter)
        return fitter


_NETWORK = "battery_core.training.network_fitting:fit_network"
_NETWORK_SECTIONS = ("trainer", "loss")

MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            "lgbm",
            "the LightGBM model",
            regressor="battery_core.models.lgbm:LGBMModel",
            settings="battery_core.models.settings:LGBMSettings",
            requirements=("lightgbm",),
            takes_history_features=True,
            is_default=True,
        ),
        ModelSpec(
            "mlp",
            "the multi-layer perceptron",
            regressor="battery_core.models.mlp:MLPModel",
            settings="battery_core.models.settings:MLPSettings",
            fitter=_NETWORK,
            fitter_sections=_NETWORK_SECTIONS,
            requirements=("torch",),
            exports_onnx=True,
            is_default=True,
        ),
        ModelSpec(
            "mlp_history",
            "the same perceptron with history features: the two err differently, and their mean errs least",
            regressor="battery_core.models.mlp:MLPModel",
            settings="battery_core.models.settings:MLPSettings",
            section="mlp",
            fitter=_NETWORK,
            fitter_sections=_NETWORK_SECTIONS,
            requirements=("torch",),
            exports_onnx=True,
            takes_history_features=True,
        ),
        ModelSpec(
            "kernel_ridge",
            "kernel ridge regression",
            regressor="battery_core.models.kernel_ridge:KernelRidgeModel",
            settings="battery_core.models.settings:KernelRidgeSettings",
            takes_history_features=True,
        ),
        ModelSpec(
            "lstm",
            "the LSTM with attention over a history",
            regressor="battery_core.models.lstm_attention:LSTMAttentionModel",
            settings="battery_core.models.settings:LSTMSettings",
            fitter=_NETWORK,
            fitter_sections=_NETWORK_SECTIONS,
            requirements=("torch",),
            exports_onnx=True,
            takes_sequences=True,
        ),
        ModelSpec(
            "neural_ode",
            "the latent neural ODE",
            regressor="battery_core.models.neural_ode:NeuralODEModel",
            settings="battery_core.models.settings:NeuralODESettings",
            fitter=_NETWORK,
            fitter_sections=_NETWORK_SECTIONS,
            requirements=("torch", "torchdiffeq"),
            takes_sequences=True,
        ),
    )
}


def model_spec(name: str) -> ModelSpec:
    """Return the entry of a model.

    Raises:
        UnknownNameError: there is no such model; the text has the nearest names.

    Example:
        >>> model_spec("mlp_history").sections
        ('mlp', 'trainer', 'loss')
    """
    if name not in MODELS:
        raise unknown_name("model", name, MODELS)
    return MODELS[name]


def settings_sections() -> dict[str, ModelSpec]:
    """Return the settings sections of all models, each with the first model that has it.

    Example:
        >>> list(settings_sections())
        ['lgbm', 'mlp', 'kernel_ridge', 'lstm', 'neural_ode']
    """
    sections: dict[str, ModelSpec] = {}
    for spec in MODELS.values():
        sections.setdefault(spec.settings_section, spec)
    return sections
