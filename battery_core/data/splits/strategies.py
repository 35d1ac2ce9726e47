"""The strategies to choose test cells and, where they are named, validation and training cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from battery_core.data.splits.cell_split import ChosenCells
from battery_core.data.splits.conditions import at_temperature, subsets_of_conditions
from battery_core.data.splits.make import SplitStrategy
from battery_core.data.splits.sampling import draw, shuffled_conditions
from battery_core.errors import SplitError
from battery_core.seeding import derive_seed

if TYPE_CHECKING:
    from battery_core.data.settings import SplitSettings
    from battery_core.data.sources.base import Source


class Published(SplitStrategy):
    """Choose the test cells of publications on this source, so that results are comparable."""

    by_condition = True

    def choose(self, cells: pd.DataFrame, settings: SplitSettings, source: Source | None) -> ChosenCells:
        """Return the cells that the source publishes."""
        test = source.published_test_cells(cells) if source else ()
        if not test:
            name = source.name if source else "none"
            raise SplitError(
                f"split 'published': no published test cells for source '{name}' - choose another strategy"
            )
        return ChosenCells(test=tuple(test))


class Random(SplitStrategy):
    """Draw random cells with a seed, within each condition so that every subset has each where possible."""

    def choose(self, cells: pd.DataFrame, settings: SplitSettings, source: Source | None) -> ChosenCells:
        """Draw ``test_share`` of the cells."""
        return ChosenCells(test=draw(cells, settings.test_share, derive_seed(settings.seed, "test")))


class ByTemperature(SplitStrategy):
    """Hold out whole temperatures, to measure the error at temperatures outside training.

    Only ``val_temps_degC`` set: the held-out cells are divided between validation and test, by cell. Only
    ``test_temps_degC`` set: validation cells come from the training temperatures, the stricter protocol.
    """

    by_condition = True

    def choose(self, cells: pd.DataFrame, settings: SplitSettings, source: Source | None) -> ChosenCells:
        """Choose cells by their ambient temperature."""
        temperature = cells["ambient_temperature_degC"].astype(float)

        def cells_at(wanted: Sequence[float]) -> tuple[str, ...]:
            return tuple(cells["cell_id"][[at_temperature(t, wanted) for t in temperature]])

        there = ", ".join(f"{t:g}" for t in sorted(temperature.dropna().unique())) or "none stated"
        return subsets_of_conditions(
            cells, settings, cells_at, there,
            {"train_temps_degC": settings.train_temps_degC, "val_temps_degC": settings.val_temps_degC,
             "test_temps_degC": settings.test_temps_degC},
        )  # fmt: skip


class ByGroup(SplitStrategy):
    """Hold out whole groups (a batch, a chemistry, a depth of discharge)."""

    by_condition = True
    column: ClassVar[str] = "group"

    def choose(self, cells: pd.DataFrame, settings: SplitSettings, source: Source | None) -> ChosenCells:
        """Choose cells by their group, with the same rules as for temperatures."""

        def cells_of(wanted: Sequence[str]) -> tuple[str, ...]:
            return tuple(cells["cell_id"][cells[self.column].isin(wanted)])

        there = ", ".join(sorted(cells[self.column].unique()))
        return subsets_of_conditions(
            cells, settings, cells_of, there,
            {"train_groups": settings.train_groups, "val_groups": settings.val_groups,
             "test_groups": settings.test_groups},
        )  # fmt: skip


class ByProtocol(ByGroup):
    """Hold out whole cycling protocols; named in the same settings as groups."""

    column = "protocol"


class Fixed(SplitStrategy):
    """Choose cells by their ids."""

    by_condition = True

    def choose(self, cells: pd.DataFrame, settings: SplitSettings, source: Source | None) -> ChosenCells:
        """Return the named cells."""
        cell_ids = set(cells["cell_id"])

        def named(wanted: Sequence[str]) -> tuple[str, ...]:
            return tuple(c for c in wanted if c in cell_ids)

        there = ", ".join(sorted(cell_ids))
        return subsets_of_conditions(
            cells, settings, named, there,
            {"train_cells": settings.train_cells, "val_cells": settings.val_cells, "test_cells": settings.test_cells},
        )  # fmt: skip


class LeaveOneCellOut(SplitStrategy):
    """Hold out one cell as test: number ``fold`` in name order; for data sets with few cells."""

    def choose(self, cells: pd.DataFrame, settings: SplitSettings, source: Source | None) -> ChosenCells:
        """Return cell number ``fold``."""
        if settings.fold >= len(cells):
            raise SplitError(
                f"split 'leave_one_cell_out': split.fold is {settings.fold}, but there are {len(cells)} cells "
                f"(0 to {len(cells) - 1}): {', '.join(cells['cell_id'])}"
            )
        return ChosenCells(test=(str(cells["cell_id"].iloc[settings.fold]),))


class GroupedKFold(SplitStrategy):
    """Divide cells into folds within each condition; fold number ``fold`` is test."""

    def choose(self, cells: pd.DataFrame, settings: SplitSettings, source: Source | None) -> ChosenCells:
        """Return fold number ``fold``; every cell is test in exactly one of the ``n_folds`` folds."""
        if settings.n_folds > len(cells) or settings.fold >= settings.n_folds:
            raise SplitError(
                f"split 'grouped_kfold': fold {settings.fold} of {settings.n_folds} over {len(cells)} cells - "
                "split.fold must be below split.n_folds, and split.n_folds at most the number of cells"
            )
        shuffled = [c for members in shuffled_conditions(cells, derive_seed(settings.seed, "folds")) for c in members]
        return ChosenCells(test=tuple(sorted(shuffled[settings.fold :: settings.n_folds])))
