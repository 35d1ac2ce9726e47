"""Seeded draws of cells, stratified by condition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from battery_core.errors import SplitError
from battery_core.seeding import derive_seed

if TYPE_CHECKING:
    from battery_core.data.settings import SplitSettings


def pick_validation(cells: pd.DataFrame, settings: SplitSettings) -> tuple[str, ...]:
    """Return validation cells out of the cells that are not test, at least one per condition that has two.

    Raises:
        SplitError: there is only one cell, and training needs it.
    """
    if len(cells) < 2:
        raise SplitError(
            f"split '{settings.strategy}': {len(cells)} cell(s) left for training and validation, at least 2 are "
            "needed - put fewer cells into test"
        )
    return draw(cells, settings.val_share, derive_seed(settings.seed, "val"), each=True)


def draw(cells: pd.DataFrame, fraction: float, seed: int, *, each: bool = False) -> tuple[str, ...]:
    """Draw a seeded share of the cells, stratified by condition (group and temperature).

    The number drawn is the rounded share, at least 1, at most all but one; it is spread by largest remainder. With
    ``each`` every condition of two or more cells gives at least one. No condition is emptied while another can give.
    """
    conditions = shuffled_conditions(cells, seed)
    sizes = [len(members) for members in conditions]
    total = min(max(1, round(fraction * sum(sizes))), sum(sizes) - 1)
    quota = [min(int(fraction * size), size - 1) for size in sizes]
    if each:
        quota = [max(q, min(1, size - 1)) for q, size in zip(quota, sizes, strict=True)]
    # the rest goes to the conditions that are furthest below their share; the shuffle decides between equals
    while sum(quota) < total:
        open_groups = [i for i, size in enumerate(sizes) if quota[i] < size - 1] or [
            i for i, size in enumerate(sizes) if quota[i] < size
        ]
        quota[max(open_groups, key=lambda i: fraction * sizes[i] - quota[i])] += 1
    return tuple(sorted(cell for members, n in zip(conditions, quota, strict=True) for cell in members[:n]))


def shuffled_conditions(cells: pd.DataFrame, seed: int) -> list[list[str]]:
    """Return the cells of each condition in random order; the order of the conditions is random too."""
    generator = np.random.default_rng(seed)
    keys = list(zip(cells["group"], cells["ambient_temperature_degC"].astype(float).map("{:g}".format), strict=True))
    ids = list(cells["cell_id"])
    conditions = [[c for c, k in zip(ids, keys, strict=True) if k == key] for key in sorted(set(keys))]
    return [[members[i] for i in generator.permutation(len(members))] for members in _permuted(conditions, generator)]


def _permuted(items: list[list[str]], generator: np.random.Generator) -> list[list[str]]:
    return [items[i] for i in generator.permutation(len(items))]
