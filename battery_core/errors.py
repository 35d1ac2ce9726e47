"""Errors whose text states the problem, the expected and the actual value, and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_AS_CLOSE = 0.15  # of a similarity of 1


class BatteryError(Exception):
    """An error that a user has to fix: a retry does not help, and its text is shown without a traceback."""


class SettingsError(BatteryError):
    """A setting has a wrong name, type or value."""


class DataError(BatteryError):
    """The data violate the contract of their source or table."""


class DataChangingError(DataError):
    """A raw file is being written at this moment: a later retry may help."""


class SplitError(BatteryError):
    """The requested split cannot be made from the available cells."""


class TrainingError(BatteryError):
    """Training cannot start or continue."""


class UnknownNameError(SettingsError, KeyError):
    """A name that a registry, a table or a settings section does not have."""

    def __str__(self) -> str:  # KeyError would show the repr of the text
        return str(self.args[0])


def unknown_name(kind: str, name: str, valid_names: Iterable[str]) -> UnknownNameError:
    """Return the error for a wrong name: its kind, the nearest valid names, and all valid names.

    Example:
        >>> print(unknown_name("loss", "hubber", ["mse", "huber"]))
        unknown loss 'hubber': did you mean 'huber'? There are: mse, huber
    """
    names = list(valid_names)
    hint = f"did you mean {near}? " if (near := nearest(name, names)) else ""
    return UnknownNameError(f"unknown {kind} '{name}': {hint}There are: {', '.join(names) or 'none'}")


def nearest(name: str, valid_names: Iterable[str]) -> str:
    """Return the valid names closest to a wrong one, quoted and joined by 'or'; empty when none is close.

    A second name is returned only when it is about as close as the first.

    Example:
        >>> nearest("trainer.epoch", ["trainer.epochs", "loss.name"])
        "'trainer.epochs'"
    """
    close = difflib.get_close_matches(name, list(valid_names), n=2, cutoff=0.6)
    ratios = [difflib.SequenceMatcher(None, candidate, name).ratio() for candidate in close]
    return " or ".join(f"'{n}'" for n, ratio in zip(close, ratios, strict=True) if ratio > ratios[0] - _AS_CLOSE)
