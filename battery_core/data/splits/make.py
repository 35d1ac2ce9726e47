"""Assignment of cells to training, validation and test, before any model is fitted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
from pydantic import ValidationError

from battery_core.data.registries import SPLITS
from battery_core.data.samples.sample import Samples
from battery_core.data.settings import SplitSettings
from battery_core.data.splits.cell_split import SUBSETS, CellSplit, ChosenCells
from battery_core.data.splits.conditions import at_temperature, check_apart
from battery_core.data.splits.sampling import pick_validation
from battery_core.errors import SettingsError, SplitError

if TYPE_CHECKING:
    from battery_core.data.samples.sample import Sample
    from battery_core.data.sources.base import Source


class SplitStrategy(ABC):
    """Define one way to choose cells."""

    by_condition: ClassVar[bool] = False
    """True where a held-out condition must stay unseen: a new cell of it is never added to training."""

    @abstractmethod
    def choose(self, cells: pd.DataFrame, settings: SplitSettings, source: Source | None) -> ChosenCells:
        """Choose from the table of cells, sorted by cell_id.

        Raises:
            SplitError: there are no such cells; the message lists the existing ones.
        """


def make_split(
    cells: pd.DataFrame, settings: SplitSettings, source: Source | None = None, previous: CellSplit | None = None
) -> CellSplit:
    """Divide the cells, or extend an earlier division of the same settings; test cells stay fixed.

    With ``previous``, cells of the earlier split keep their subset, also those that are missing now. New cells go to
    training. Where a condition is held out, a new cell of that condition stays unused: training on it would leak the
    test condition.

    Raises:
        SplitError: fewer than three cells, or the strategy cannot find its cells.
    """
    settings = resolve(settings, source)
    cells = cells.sort_values("cell_id", kind="stable").reset_index(drop=True)
    if len(cells) < len(SUBSETS):
        raise SplitError(
            f"split '{settings.strategy}': {len(cells)} cell(s), at least 3 are needed, one each for train, val and "
            f"test; there are: {', '.join(cells['cell_id']) or 'none'} - add cells"
        )
    if previous is not None and _same_settings(previous, settings):
        return _carry_on(cells, settings, source, previous)
    return _fresh(cells, settings, source)


def resolve(settings: SplitSettings, source: Source | None) -> SplitSettings:
    """Return the resolved settings: for ``auto`` the recommendation of the source, overridden by explicit values.

    Example:
        >>> resolve(SplitSettings(), None).strategy
        'random'
    """
    if settings.strategy != "auto":
        return settings
    by_hand = settings.model_dump(include=settings.model_fields_set - {"strategy"})
    recommended = {"strategy": "random", **(source.default_split if source else {})}
    return SplitSettings(**{**recommended, **by_hand})


def _same_settings(previous: CellSplit, settings: SplitSettings) -> bool:
    """Return whether an earlier split had the same settings; a setting that it does not name had its default."""
    try:
        return SplitSettings(**previous.settings).model_dump() == settings.model_dump()
    except (ValidationError, SettingsError):  # a setting of then is unknown now: it cannot be the same
        return False


def _fresh(cells: pd.DataFrame, settings: SplitSettings, source: Source | None) -> CellSplit:
    chosen = SPLITS.get(settings.strategy).choose(cells, settings, source)
    known = list(cells["cell_id"])
    taken = {*chosen.test, *(chosen.val or ())}
    train = [c for c in known if c not in taken] if chosen.train is None else list(chosen.train)
    if not chosen.test or not train:
        raise SplitError(
            f"split '{settings.strategy}': {len(chosen.test)} of {len(known)} cells in test and {len(train)} left for "
            "training: every part needs one - name fewer or other cells"
        )
    val = chosen.val
    if val is None:
        val = pick_validation(cells[cells["cell_id"].isin(train)], settings)
        train = [c for c in train if c not in set(val)]
    used = {*train, *val, *chosen.test}
    unused = tuple(c for c in known if c not in used)
    settings_in_force = settings.model_dump(mode="json")
    in_order = [tuple(sorted(subset)) for subset in (train, val, chosen.test)]
    return CellSplit(in_order[0], in_order[1], in_order[2], settings.strategy, settings_in_force, unused)


def _carry_on(cells: pd.DataFrame, settings: SplitSettings, source: Source | None, previous: CellSplit) -> CellSplit:
    present = list(cells["cell_id"])
    subsets = {cell: name for name in (*SUBSETS, "unused") for cell in getattr(previous, name)}
    new = [cell for cell in present if cell not in subsets]
    held_out = new and SPLITS[settings.strategy].by_condition
    fresh = _fresh(cells, settings, source) if held_out else None
    for cell in new:
        seen = fresh is None or cell in fresh.train or cell in fresh.val
        subsets[cell] = "train" if seen and not _at_named_val(cell, fresh, settings) else "unused"
    # a cell that is missing in one run keeps its subset: treated as new later, it could enter training
    lists = {name: tuple(sorted(c for c in subsets if subsets[c] == name)) for name in (*SUBSETS, "unused")}
    for name in SUBSETS:
        if not set(lists[name]) & set(present):
            raise SplitError(
                f"split '{settings.strategy}': none of the {len(lists[name])} cells frozen in {name} is in the data "
                "any more - bring them back, or delete the split file to divide the cells anew"
            )
    settings_in_force = settings.model_dump(mode="json")
    return CellSplit(lists["train"], lists["val"], lists["test"], settings.strategy, settings_in_force, lists["unused"])


def _at_named_val(cell: str, fresh: CellSplit | None, settings: SplitSettings) -> bool:
    """Return whether a new cell has a condition named for validation; always True where none is named."""
    named = settings.val_temps_degC or settings.val_groups or settings.val_cells
    return fresh is not None and bool(named) and cell in fresh.val


def temperature_split(
    all_samples: Sequence[Sample], train_temps: Iterable[float], val_temps: Iterable[float]
) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """Return samples of cells at some temperatures for training, and at other temperatures for validation.

    Units: degC, compared with ``sample.meta.temperature_degC`` to half a degree. ``Samples`` in, ``Samples`` out.

    Raises:
        SplitError: a temperature is in both, or no sample is at any of them.

    Example:
        >>> import numpy as np
        >>> from battery_core.data.samples.sample import Sample, SampleMeta
        >>> cold, mild = (Sample(SampleMeta(f"T{t}", 0, t), np.zeros(1), np.ones(1)) for t in (10.0, 25.0))
        >>> train, val = temperature_split([cold, mild], train_temps=[10, 40], val_temps=[25])
        >>> len(train), val[0].meta.cell_id
        (1, 'T25.0')
    """
    wanted_train, wanted_val = tuple(map(float, train_temps)), tuple(map(float, val_temps))
    check_apart("temperature_split", train_temps=wanted_train, val_temps=wanted_val)
    temperatures = [s.meta.temperature_degC for s in all_samples]
    positions = []
    for name, wanted in (("train_temps", wanted_train), ("val_temps", wanted_val)):
        chosen = [i for i, t in enumerate(temperatures) if at_temperature(t, wanted)]
        if not chosen:
            there = ", ".join(f"{t:g}" for t in sorted(set(temperatures)))
            raise SplitError(
                f"temperature_split: no sample at {name} {list(wanted)} degC; there are: {there or 'none'}"
            )
        positions.append(chosen)
    if isinstance(all_samples, Samples):
        return all_samples.take(np.array(positions[0])), all_samples.take(np.array(positions[1]))
    return [all_samples[i] for i in positions[0]], [all_samples[i] for i in positions[1]]
