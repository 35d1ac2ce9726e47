"""Settings of features."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationInfo, field_validator

from battery_core.base_settings import SectionSettings, setting
from battery_core.errors import SettingsError, unknown_name
from battery_core.features.registry import FEATURES


class FeatureSettings(SectionSettings):
    """Set the feature sets of a model and their constants.

    Example:
        >>> FeatureSettings(sets=["summary", "initial_relative"]).sets
        ('summary', 'initial_relative')
    """

    sets: tuple[str, ...] = setting(("auto",), "feature sets; auto: what the source recommends", min_length=1)
    history_sets: tuple[str, ...] = setting(
        ("auto",),
        "feature sets of a cell's history, for models that take them when sets is auto; auto: those of the source. For "
        "a condition that no training cell had: early_deviation",
    )
    activation_energy_kJ_mol: float = setting(
        30.0, "activation energy of the Arrhenius term; 20 to 60 is usual", unit="kJ/mol", gt=0.0
    )
    reference_temperature_degC: float = setting(25.0, "temperature where the Arrhenius term is 1", unit="degC")
    n_initial_checkups: int = setting(
        5, "check-ups at a cell's start whose median is the reference of initial_relative", ge=1
    )
    smooth_checkups: int = setting(20, "span of the exponential mean that smooths measurements", ge=1)
    recent_change_checkups: int = setting(100, "check-ups over which the recent_change set measures a change", ge=1)
    early_deviation_checkups: int = setting(
        50, "check-ups at a cell's start whose mean is the reference of early_deviation", ge=1
    )
    groups: tuple[str, ...] = setting((), "groups that have a column in the condition set; none: those of training")
    history_checkups: int = setting(
        12, "check-ups of a cell that a sequence model sees at once, evenly from its first to the one to predict", ge=1
    )
    history_time: Literal["auto", "time_days", "cycle_count", "checkup_index"] = setting(
        "auto", "time axis of a history; auto: days where measured, else cycles, else the number of the check-up"
    )
    history_train_checkups: int = setting(
        150, "most check-ups of a cell that a sequence model is trained and stopped on, evenly over its life", ge=1
    )
    clip_quantile: float = setting(
        0.0,
        "features are clipped to this quantile and its mirror, measured on training cells; 0: no clipping",
        ge=0.0,
        lt=0.5,
    )

    @field_validator("sets", "history_sets")
    @classmethod
    def _are_known_sets(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for name in names:
            if name != "auto" and name not in FEATURES:
                raise unknown_name(FEATURES.kind, name, ["auto", *FEATURES])
        if "auto" in names and len(names) > 1:
            raise SettingsError(
                f"features.{info.field_name}: 'auto' stands alone, got {', '.join(names)} - name the sets or leave auto"
            )
        return names
