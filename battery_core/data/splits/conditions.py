"""Conditions (temperatures, groups, cells) that settings name for a subset, and the errors if they do not exist."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from battery_core.data.splits.cell_split import ChosenCells
from battery_core.data.splits.sampling import draw
from battery_core.errors import SplitError
from battery_core.seeding import derive_seed

if TYPE_CHECKING:
    from battery_core.data.settings import SplitSettings

_HALF_A_DEGREE = 0.5


def at_temperature(value: float, wanted: Iterable[float]) -> bool:
    """Return whether a temperature is one of those requested, within half a degree.

    Example:
        >>> at_temperature(25.2, [25.0]), at_temperature(float("nan"), [25.0])
        (True, False)
    """
    return any(abs(value - w) < _HALF_A_DEGREE for w in wanted)


def check_apart(strategy: str, **named: Sequence[object]) -> None:
    """Refuse a condition that is named for two subsets.

    Raises:
        SplitError: with the names.
    """
    subset_of_value: dict[object, str] = {}
    for subset, values in named.items():
        for value in values:
            if subset_of_value.setdefault(value, subset) != subset:
                raise SplitError(
                    f"split '{strategy}': {value} is in {subset_of_value[value]} and in {subset} - name it once"
                )


def subsets_of_conditions(
    cells: pd.DataFrame,
    settings: SplitSettings,
    find: Callable[[Sequence[Any]], tuple[str, ...]],
    there: str,
    named: dict[str, tuple[Any, ...]],
) -> ChosenCells:
    """Return the subsets for conditions named in settings (train, val, test in this order)."""
    check_apart(settings.strategy, **named)
    (_, train), (val_key, val), (test_key, test) = named.items()
    if not test and not val:
        raise SplitError(
            f"split '{settings.strategy}': name the held-out cells in split.{test_key}; there are: {there}"
        )
    for key, wanted in named.items():
        for one in wanted:
            if not find((one,)):
                raise SplitError(f"split '{settings.strategy}': no cell for split.{key} = {one}; there are: {there}")
    chosen_train = find(train) if train else None
    if test:
        return ChosenCells(test=find(test), val=find(val) if val else None, train=chosen_train)
    held_out = find(val)
    if len(held_out) < 2:
        raise SplitError(
            f"split '{settings.strategy}': one cell for split.{val_key} {list(val)} cannot be validation and test - "
            f"name split.{test_key} too; there are: {there}"
        )
    half = draw(cells[cells["cell_id"].isin(held_out)], 0.5, derive_seed(settings.seed, "held-out"))
    rest = None if chosen_train is not None else tuple(c for c in cells["cell_id"] if c not in held_out)
    return ChosenCells(test=tuple(c for c in held_out if c not in half), val=half, train=chosen_train or rest)
