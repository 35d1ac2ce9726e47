"""All settings of the project: the command line wins over the environment, params.yaml and defaults, in this order."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, Field, ValidationError, create_model, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from battery_core import deprecated_names
from battery_core.base_settings import SectionSettings, list_from_text, setting
from battery_core.data.settings import DataSettings, SplitSettings
from battery_core.errors import SettingsError, nearest, unknown_name
from battery_core.evaluation.settings import CrossValidationSettings, LeaderboardSettings, ScoreSettings
from battery_core.features.settings import FeatureSettings
from battery_core.models.registry import MODELS, settings_sections
from battery_core.predictors.settings import EnsembleSettings
from battery_core.release.settings import ReleaseSettings
from battery_core.tracking.settings import TrackingSettings
from battery_core.training.losses.settings import LossSettings
from battery_core.training.settings import TrainerSettings
from battery_core.uncertainty.settings import UncertaintySettings

ENV_PREFIX = "BATTERY__"
SETTINGS_FILE = "params.yaml"


class JobSettings(SectionSettings):
    """How training jobs run: each in a process of its own."""

    timeout_s: float = setting(3600.0, "a training job that takes longer is killed and said so", unit="s", gt=0)
    concurrent: int = setting(2, "training jobs at the same time", ge=1)
    threads: int = setting(1, "processor threads a job may use", ge=1)


class PathSettings(SectionSettings):
    """Where the files are, relative to the project folder unless absolute."""

    data: Path = setting(Path("data"), "raw and normalized tables")
    splits: Path = setting(Path("splits"), "frozen splits of cells, under version control")
    artifacts: Path = setting(Path("artifacts"), "runs, reports, the MLflow database")


class _DataAndFeatures(BaseSettings):
    """The sections before those of the models, so that the order of the whole is that of the workflow."""

    models: tuple[str, ...] = setting(
        tuple(name for name, spec in MODELS.items() if spec.is_default), "models to train, by name", min_length=1
    )
    seed: int = setting(0, "the one seed every random choice derives from", ge=0)
    data: DataSettings = Field(default_factory=DataSettings, description="what is measured and where it comes from")
    split: SplitSettings = Field(default_factory=SplitSettings, description="which cells train, validate and test")
    features: FeatureSettings = Field(default_factory=FeatureSettings, description="what a model sees of a check-up")


if TYPE_CHECKING:
    _WithModels = _DataAndFeatures
else:
    _WithModels = create_model(
        "_WithModels",
        __base__=_DataAndFeatures,
        **{
            section: (cls, Field(default_factory=cls, description=spec.description))
            for section, spec in settings_sections().items()
            for cls in [spec.load_settings()]
        },
    )


class Settings(_WithModels):
    """All settings of the project, frozen; each model of ``models.registry`` has its section.

    An unknown name is refused with the nearest right ones.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    ensemble: EnsembleSettings = Field(default_factory=EnsembleSettings, description="the mean of the run's models")
    uncertainty: UncertaintySettings = Field(
        default_factory=UncertaintySettings, description="intervals of predictions, and what counts as known"
    )
    trainer: TrainerSettings = Field(default_factory=TrainerSettings, description="training of torch models")
    loss: LossSettings = Field(default_factory=LossSettings, description="what torch models minimise")
    tracking: TrackingSettings = Field(default_factory=TrackingSettings, description="where runs are written down")
    release: ReleaseSettings = Field(default_factory=ReleaseSettings, description="when the newcomer serves")
    score: ScoreSettings = Field(default_factory=ScoreSettings, description="what the daily scoring says of cells")
    cross_validation: CrossValidationSettings = Field(
        default_factory=CrossValidationSettings, description="comparison of models by cross-validation"
    )
    leaderboard: LeaderboardSettings = Field(
        default_factory=LeaderboardSettings, description="comparison of models on public cells, over seeds"
    )
    jobs: JobSettings = Field(default_factory=JobSettings, description="training jobs")
    paths: PathSettings = Field(default_factory=PathSettings, description="folders")

    @field_validator("models", mode="before")
    @classmethod
    def _names_from_text(cls, value: Any) -> Any:
        return list_from_text(value)

    @field_validator("models")
    @classmethod
    def _known_models(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in MODELS:
                raise ValueError(str(unknown_name("model", name, MODELS)))
        return tuple(dict.fromkeys(names))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, the first one wins: code or command line, environment, params.yaml."""
        return (
            init_settings,
            InitSettingsSource(settings_cls, environment_settings()),
            InitSettingsSource(settings_cls, file_settings()),
        )

    def folder(self, name: str) -> Path:
        """Return the absolute folder of ``paths.<name>``."""
        path: Path = getattr(self.paths, name)
        return path if path.is_absolute() else project_root() / path


def project_root() -> Path:
    """Return the project folder: BATTERY_ROOT, the nearest folder upward with params.yaml, or the checkout."""
    if root := os.environ.get("BATTERY_ROOT"):
        return Path(root).resolve()
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / SETTINGS_FILE).is_file():
            return folder
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / SETTINGS_FILE).is_file() else here


def resolve(overrides: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings of a run; ``overrides`` come from the command line or a deployment, dotted or nested.

    Raises:
        SettingsError: a wrong name or value, in one line with the nearest right names.

    Example:
        >>> resolve({"trainer.epochs": 5}).trainer.epochs
        5
        >>> resolve({"trainer.epoch": 5})
        Traceback (most recent call last):
        ...
        battery_core.errors.SettingsError: unknown setting 'trainer.epoch': did you mean 'trainer.epochs'?
    """
    try:
        return Settings(**_nested_settings(flat(overrides or {}), "'{}'".format))
    except ValidationError as err:
        raise SettingsError("; ".join(_describe(problem) for problem in err.errors())) from None


def file_settings() -> dict[str, Any]:
    """Return what params.yaml sets, as nested sections; empty where there is no such file.

    Raises:
        SettingsError: the file is not sections and values in UTF-8, or names a setting twice.
    """
    file = project_root() / SETTINGS_FILE
    if not file.is_file():
        return {}
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as err:
        raise SettingsError(f"{SETTINGS_FILE} is not valid YAML: {' '.join(str(err).split())}") from None
    except UnicodeDecodeError as err:
        raise SettingsError(f"{SETTINGS_FILE} cannot be read as UTF-8 text ({err}): save it again as UTF-8") from None
    if not isinstance(content, dict):
        raise SettingsError(
            f"{SETTINGS_FILE}: expected sections such as 'trainer:', found a {type(content).__name__} - "
            "see --print-settings for the whole"
        )
    return _nested_settings(flat(content), "'{}'".format)


def environment_settings() -> dict[str, Any]:
    """Return what variables such as BATTERY__TRAINER__EPOCHS set, as nested sections; their case does not matter.

    Raises:
        SettingsError: a variable names no setting, or a setting twice.
    """
    names = {name.lower(): name for name in [*(name for name, _ in all_fields()), *sections()]}
    values = {}
    for variable, value in os.environ.items():
        if variable.upper().startswith(ENV_PREFIX):
            name = variable[len(ENV_PREFIX) :].lower().replace("__", ".")
            if deprecated_names.current_name(name) not in names:
                raise SettingsError(f"environment variable {variable}: {unknown_setting(name)}")
            values[names.get(name, name)] = value
    return _nested_settings(values, lambda name: ENV_PREFIX + name.upper().replace(".", "__"))


def _nested_settings(values: Mapping[str, Any], spell: Callable[[str], str]) -> dict[str, Any]:
    """Return dotted settings of one source as nested sections, by their current names.

    Args:
        values: the settings; a whole section may be a JSON object in a text.
        spell: how the source writes the name of a setting.
    """
    texts = {name: value for name, value in values.items() if isinstance(value, str) and _is_section(name)}
    single = {name: value for name, value in values.items() if name not in texts}
    for name, text in texts.items():
        single = {**flat({name: _json_object(text, name)}), **single}  # one setting by its name wins
    current = deprecated_names.rename_names(single, spell)
    renamed = {current[name]: deprecated_names.current_switch(name, value) for name, value in single.items()}
    return nested(deprecated_names.rename_values(renamed, spell))


def _is_section(name: str) -> bool:
    return deprecated_names.current_name(name) in sections()


def _json_object(text: str, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        example = '{"name": "value"}'
        raise SettingsError(f"setting '{name}': expected a JSON object such as {example}; got {text!r}")
    return value


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings by their dotted names; the inverse of ``nested``.

    Example:
        >>> flat({"loss": {"name": "huber"}, "seed": 1})
        {'loss.name': 'huber', 'seed': 1}
    """
    dotted: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            dotted |= flat(value, f"{name}.")
        else:
            dotted[name] = value
    return dotted


def nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted names as nested sections.

    Example:
        >>> nested({"loss.name": "huber", "seed": 1})
        {'loss': {'name': 'huber'}, 'seed': 1}
    """
    tree: dict[str, Any] = {}
    for name, value in dotted.items():
        branch = tree
        *sections, leaf = name.split(".")
        for section in sections:
            branch = branch.setdefault(section, {})
            if not isinstance(branch, dict):
                raise SettingsError(f"setting '{name}': '{section}' is a value, not a section")
        if isinstance(value, Mapping) and isinstance(branch.get(leaf), dict):
            branch[leaf] |= value
        else:
            branch[leaf] = dict(value) if isinstance(value, Mapping) else value
    return tree


def all_fields(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the field of every setting."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from all_fields(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def sections(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every section."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield f"{prefix}{name}"
            yield from sections(kind, f"{prefix}{name}.")


def _describe(problem: ErrorDetails) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return unknown_setting(name)
    message = problem["msg"].removeprefix("Value error, ")
    got = problem["input"]
    shown = f"; got {got!r}" if problem["type"] != "value_error" else ""
    return f"setting '{name}': {message}{shown}"


def unknown_setting(name: str) -> str:
    """Return the message for a setting that does not exist."""
    near = nearest(name, [valid for valid, _ in all_fields()] + list(Settings.model_fields))
    return f"unknown setting '{name}': " + (f"did you mean {near}?" if near else "see --help for all names")


def as_yaml(settings: Settings) -> str:
    """Return all resolved settings as YAML, in the form of a params.yaml."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
