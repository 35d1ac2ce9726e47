"""Errors that say what is wrong, what was expected, what was found and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_AS_CLOSE = 0.15  # of a similarity of 1


class BatteryError(Exception):
    """Something a person has to mend: no retry can heal it, and its text is shown without a traceback."""


class SettingsError(BatteryError):
    """A setting has a wrong name, type or value."""


class DataError(BatteryError):
    """The data are not what their source or table promises."""


class DataChangingError(DataError):
    """A raw file is being written right now: trying again a little later may help."""


class SplitError(BatteryError):
    """The requested split of cells cannot be made from the cells there are."""


class TrainingError(BatteryError):
    """Training cannot start or go on."""


class UnknownNameError(SettingsError, KeyError):
    """A name that a registry, a table or a settings section does not have."""

    def __str__(self) -> str:  # KeyError would show the repr of the text
        return str(self.args[0])


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The one message for a wrong name: what it is, the nearest right names, and all there are.

    Example:
        >>> print(unknown_name("loss", "hubber", ["mse", "huber"]))
        unknown loss 'hubber': did you mean 'huber'? There are: mse, huber
    """
    names = list(known)
    hint = f"did you mean {near}? " if (near := nearest(name, names)) else ""
    return UnknownNameError(f"unknown {kind} '{name}': {hint}There are: {', '.join(names) or 'none'}")


def nearest(name: str, known: Iterable[str]) -> str:
    """The right names closest to a wrong one, quoted and joined by 'or'; empty when nothing is close.

    A second name is given only when it is about as close as the first.

    Example:
        >>> nearest("trainer.epoch", ["trainer.epochs", "loss.name"])
        "'trainer.epochs'"
    """
    close = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    ratios = [difflib.SequenceMatcher(None, candidate, name).ratio() for candidate in close]
    return " or ".join(f"'{n}'" for n, ratio in zip(close, ratios, strict=True) if ratio > ratios[0] - _AS_CLOSE)
