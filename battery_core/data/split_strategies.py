"""The ways to choose test cells (and, where they are named, validation and training cells)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from battery_core.data.splits import Parts, SplitStrategy
from battery_core.errors import SplitError
from battery_core.seeding import derive_seed

if TYPE_CHECKING:
    import pandas as pd

    from battery_core.data.settings import SplitSettings
    from battery_core.data.sources.base import Source

_HALF_A_DEGREE = 0.5


class Published(SplitStrategy):
    """The test cells that publications on this source use, so that numbers can be compared."""

    by_condition = True

    def choose(self, cells: pd.DataFrame, settings: SplitSettings, source: Source | None) -> Parts:
        """Ask the source."""
        test = source.published_test_cells(cells) if source else ()
        if not test:
            name = source.name if source else "none"
            raise SplitError(
                f"split 'published': no published test cells for source '{name}' - choose another strategy"
            )
        return Parts(test=tuple(test))


class Random(SplitStrategy):
    """Seeded random cells, drawn within each condition so that every part sees each where it can."""

    def choose(self, cells: pd.DataFrame, settings: SplitSettings, source: Source | None) -> Parts:
        """Draw ``test_share`` of the cells."""
        return Parts(test=draw(cells, settings.test_share, derive_seed(settings.seed, "test")))


class ByTemperature(SplitStrategy):
    """Whole temperatures are held out: how well does a model do where it has never been?

    Only ``val_temps_degC`` given: the held-out cells are divided between validation and test, by cell. Only
    ``test_temps_degC`` given: validation cells come from the training temperatures, the stricter protocol.
    """

    by_condition = True

    def choose(self, cells: pd.DataFrame, settings: SplitSettings, source: Source | None) -> Parts:
        """Cells by their ambient temperature."""
        temperature = cells["ambient_temperature_degC"].astype(float)

        def cells_at(wanted: Sequence[float]) -> tuple[str, ...]:
            return tuple(cells["cell_id"][[at_temperature(t, wanted) for t in temperature]])

        there = ", ".join(f"{t:g}" for t in sorted(temperature.dropna().unique())) or "none stated"
        return _by_condition(
            cells, settings, cells_at, there,
            {"train_temps_degC": settings.train_temps_degC, "val_temps_degC": settings.val_temps_degC,
             "test_temps_degC": settings.test_temps_degC},
        )  # fmt: skip


class ByGroup(SplitStrategy):
    """Whole groups (a batch, a chemistry, a depth of discharge) are held out."""

    by_condition = True
    column: ClassVar[str] = "group"

    def choose(self, cells: pd.DataFrame, settings: SplitSettings, source: Source | None) -> Parts:
        """Cells by their group; named as for temperatures."""

        def cells_of(wanted: Sequence[str]) -> tuple[str, ...]:
            return tuple(cells["cell_id"][cells[self.column].isin(wanted)])

        there = ", ".join(sorted(cells[self.column].unique()))
        return _by_condition(
            cells, settings, cells_of, there,
            {"train_groups": settings.train_groups, "val_groups": settings.val_groups,
             "test_groups": settings.test_groups},
        )  # fmt: skip


class ByProtocol(ByGroup):
    """Whole cycling protocols are held out; named in the same settings as groups."""

    column = "protocol"


class Fixed(SplitStrategy):
    """Cells named one by one."""

    by_condition = True

    def choose(self, cells: pd.DataFrame, settings: SplitSettings, source: Source | None) -> Parts:
        """The named cells."""
        known = set(cells["cell_id"])

        def named(wanted: Sequence[str]) -> tuple[str, ...]:
            return tuple(c for c in wanted if c in known)

        there = ", ".join(sorted(known))
        return _by_condition(
            cells, settings, named, there,
            {"train_cells": settings.train_cells, "val_cells": settings.val_cells, "test_cells": settings.test_cells},
        )  # fmt: skip


class LeaveOneCellOut(SplitStrategy):
    """One cell is test, ``fold`` says which in name order; for data sets with few cells."""

    def choose(self, cells: pd.DataFrame, settings: SplitSettings, source: Source | None) -> Parts:
        """The cell number ``fold``."""
        if settings.fold >= len(cells):
            raise SplitError(
                f"split 'leave_one_cell_out': split.fold is {settings.fold}, but there are {len(cells)} cells "
                f"(0 to {len(cells) - 1}): {', '.join(cells['cell_id'])}"
            )
        return Parts(test=(str(cells["cell_id"].iloc[settings.fold]),))


class GroupedKFold(SplitStrategy):
    """Cells are dealt into folds within each condition; fold number ``fold`` is test."""

    def choose(self, cells: pd.DataFrame, settings: SplitSettings, source: Source | None) -> Parts:
        """Every cell is test in exactly one of the ``n_folds`` folds."""
        if settings.n_folds > len(cells) or settings.fold >= settings.n_folds:
            raise SplitError(
                f"split 'grouped_kfold': fold {settings.fold} of {settings.n_folds} over {len(cells)} cells - "
                "split.fold must be below split.n_folds, and split.n_folds at most the number of cells"
            )
        shuffled = [c for members in _shuffled_conditions(cells, derive_seed(settings.seed, "folds")) for c in members]
        return Parts(test=tuple(sorted(shuffled[settings.fold :: settings.n_folds])))


def pick_validation(cells: pd.DataFrame, settings: SplitSettings) -> tuple[str, ...]:
    """Validation cells out of the cells that are not test, at least one per condition that has two.

    Raises:
        SplitError: there is only one cell, and training needs it.
    """
    if len(cells) < 2:
        raise SplitError(
            f"split '{settings.strategy}': {len(cells)} cell(s) left for training and validation, at least 2 are "
            "needed - put fewer cells into test"
        )
    return draw(cells, settings.val_share, derive_seed(settings.seed, "val"), each=True)


def draw(cells: pd.DataFrame, share: float, seed: int, *, each: bool = False) -> tuple[str, ...]:
    """A seeded share of the cells, spread over their conditions (group and temperature).

    The number drawn is the rounded share, at least 1, at most all but one; it is spread by largest remainder. With
    ``each`` every condition of two or more cells gives at least one. No condition is emptied while another can give.
    """
    conditions = _shuffled_conditions(cells, seed)
    sizes = [len(members) for members in conditions]
    total = min(max(1, round(share * sum(sizes))), sum(sizes) - 1)
    quota = [min(int(share * size), size - 1) for size in sizes]
    if each:
        quota = [max(q, min(1, size - 1)) for q, size in zip(quota, sizes, strict=True)]
    # the rest goes to the conditions that are furthest below their share; the shuffle decides between equals
    while sum(quota) < total:
        room = [i for i, size in enumerate(sizes) if quota[i] < size - 1] or [
            i for i, size in enumerate(sizes) if quota[i] < size
        ]
        quota[max(room, key=lambda i: share * sizes[i] - quota[i])] += 1
    return tuple(sorted(cell for members, n in zip(conditions, quota, strict=True) for cell in members[:n]))


def _shuffled_conditions(cells: pd.DataFrame, seed: int) -> list[list[str]]:
    """Cells of each condition in random order; the order of the conditions is random too."""
    generator = np.random.default_rng(seed)
    keys = list(zip(cells["group"], cells["ambient_temperature_degC"].astype(float).map("{:g}".format), strict=True))
    ids = list(cells["cell_id"])
    conditions = [[c for c, k in zip(ids, keys, strict=True) if k == key] for key in sorted(set(keys))]
    return [[members[i] for i in generator.permutation(len(members))] for members in _permuted(conditions, generator)]


def _permuted(items: list[list[str]], generator: np.random.Generator) -> list[list[str]]:
    return [items[i] for i in generator.permutation(len(items))]


def at_temperature(value: float, wanted: Iterable[float]) -> bool:
    """True when a temperature is one of those wanted, to half a degree.

    Example:
        >>> at_temperature(25.2, [25.0]), at_temperature(float("nan"), [25.0])
        (True, False)
    """
    return any(abs(value - w) < _HALF_A_DEGREE for w in wanted)


def check_apart(strategy: str, **named: Sequence[object]) -> None:
    """Refuse a condition that is named for two parts.

    Raises:
        SplitError: with the names.
    """
    seen: dict[object, str] = {}
    for part, values in named.items():
        for value in values:
            if seen.setdefault(value, part) != part:
                raise SplitError(f"split '{strategy}': {value} is in {seen[value]} and in {part} - name it once")


def _by_condition(
    cells: pd.DataFrame,
    settings: SplitSettings,
    find: Callable[[Sequence[object]], tuple[str, ...]] | Callable[..., tuple[str, ...]],
    there: str,
    named: dict[str, tuple[object, ...]],
) -> Parts:
    """Parts from conditions named in settings (train, val, test in this order)."""
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
        return Parts(test=find(test), val=find(val) if val else None, train=chosen_train)
    held_out = find(val)
    if len(held_out) < 2:
        raise SplitError(
            f"split '{settings.strategy}': one cell for split.{val_key} {list(val)} cannot be validation and test - "
            f"name split.{test_key} too; there are: {there}"
        )
    half = draw(cells[cells["cell_id"].isin(held_out)], 0.5, derive_seed(settings.seed, "held-out"))
    rest = None if chosen_train is not None else tuple(c for c in cells["cell_id"] if c not in held_out)
    return Parts(test=tuple(c for c in held_out if c not in half), val=half, train=chosen_train or rest)
