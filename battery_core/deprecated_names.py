"""Old names of settings, values and commands, accepted until version 0.3.0; each use prints the new name once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from battery_core.base_settings import list_from_text
from battery_core.errors import SettingsError

SETTINGS: Mapping[str, str] = {
    "kernel": "kernel_ridge",
    "kernel.n_anchors": "kernel_ridge.n_landmarks",
    "kernel.noises": "kernel_ridge.alphas",
    "blend": "ensemble",
    "blend.least_share": "ensemble.min_weight",
    "validation": "cross_validation",
    "release.min_gain": "release.min_improvement",
    "release.guards": "release.slice_checks",
    "release.guard_tolerance": "release.max_slice_regression",
    "release.must_beat": "release.required_baselines",
    "features.past": "features.history_sets",
    "features.n_first_checkups": "features.n_initial_checkups",
    "features.trend_checkups": "features.recent_change_checkups",
    "features.drift_checkups": "features.early_deviation_checkups",
    "trainer.direct_gradients": "trainer.backend",
    "trainer.compile": "trainer.backend",
}
"""Old name of a section or setting: new name. A setting without a row of its own moves with its section."""

_MODELS = {"kernel": "kernel_ridge"}

_FEATURE_SETS = {
    "first_checkups": "initial_relative",
    "trend": "recent_change",
    "drift": "early_deviation",
    "lifetime": "expanding_mean",
}

VALUES: Mapping[str, Mapping[str, str]] = {
    "models": _MODELS,
    "features.sets": _FEATURE_SETS,
    "features.history_sets": _FEATURE_SETS,
}
"""New name of a setting that is a list of names: its old values and their new names."""

_SWITCHES: Mapping[str, Mapping[bool, str]] = {
    "trainer.direct_gradients": {True: "auto", False: "eager"},
    "trainer.compile": {True: "compiled", False: "auto"},
}
"""Old name of an on-off setting: the value of the new setting for on and for off."""

COMMANDS: Mapping[str, str] = {"keep": "snapshot", "checkout": "restore", "release": "promote"}
"""Old name of a command: new name."""


def current_name(name: str) -> str:
    """Return the new name of a dotted setting; a name that is not old comes back unchanged.

    Example:
        >>> current_name("blend.least_share"), current_name("blend.enabled"), current_name("seed")
        ('ensemble.min_weight', 'ensemble.enabled', 'seed')
    """
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        section = SETTINGS.get(".".join(parts[:length]))
        if section is not None:
            return ".".join([section, *parts[length:]])
    return name


def rename_names(names: Iterable[str], spell: Callable[[str], str]) -> dict[str, str]:
    """Return the current name of each dotted setting name; an old one prints its new name.

    Args:
        names: the settings that one source (a file, the environment, the command line) names.
        spell: how that source writes a setting, such as ``--trainer.epochs``.

    Raises:
        SettingsError: an old name and its new name are both there.
    """
    current = {name: current_name(name) for name in names}
    for old, new in current.items():
        if old != new:
            if new in current:
                raise SettingsError(f"{spell(old)} is the old name of {spell(new)}: remove {spell(old)}")
            _announce(f"{spell(old)} is deprecated: use {spell(new)}")
    return current


def rename_values(settings: Mapping[str, Any], spell: Callable[[str], str]) -> dict[str, Any]:
    """Return settings, by their dotted current names, with current names in lists of models and feature sets."""
    return {name: _current_value(value, VALUES[name], spell(name)) if name in VALUES else value
            for name, value in settings.items()}  # fmt: skip


def current_switch(name: str, value: Any) -> Any:
    """Return the new value of a setting that was on or off under its old name; other values come back unchanged.

    Example:
        >>> current_switch("trainer.compile", "true"), current_switch("trainer.compile", False)
        ('compiled', 'auto')
    """
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    is_on = words.get(str(value).strip().lower())
    return value if is_on is None or name not in _SWITCHES else _SWITCHES[name][is_on]


def current_command(name: str) -> str:
    """Return the new name of a command; an old one prints it."""
    new = COMMANDS.get(name, name)
    if new != name:
        _announce(f"command '{name}' is deprecated: use '{new}'")
    return new


def _current_value(value: Any, table: Mapping[str, str], setting: str) -> Any:
    try:
        items = list_from_text(value)
    except ValueError:  # refused later, with the name of the setting
        return value
    if not isinstance(items, list | tuple):
        return value
    for item in items:
        if isinstance(item, str) and item in table:
            if table[item] in items:
                raise SettingsError(f"{setting}: '{item}' is the old name of '{table[item]}': remove '{item}'")
            _announce(f"{setting}: '{item}' is deprecated: use '{table[item]}'")
    return [table.get(item, item) if isinstance(item, str) else item for item in items]


@cache
def _announce(line: str) -> None:
    """Print a line on standard error; the same line once in a process."""
    print(f"warning: {line}", file=sys.stderr, flush=True)
