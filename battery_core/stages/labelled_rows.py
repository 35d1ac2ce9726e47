"""Join tables and split to one frame of labelled check-ups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from battery_core.data.splits.cell_split import SUBSETS, CellSplit
from battery_core.data.tables.labelled_rows import LabelledRows, check_labelled_rows
from battery_core.data.tables.labels import soh
from battery_core.data.tables.schema import join_rows
from battery_core.stages.common import read_table


def labelled_rows(tables: Path, split: CellSplit, reference: Any) -> LabelledRows:
    """Return every labelled check-up with the columns of its cell, its SOH and its subset.

    Args:
        tables: folder of normalized tables.
        split: subset of each cell; other cells are ``unused``.
        reference: capacity that SOH is relative to.

    Raises:
        DataError: a table is missing, or a row breaks the schema.
    """
    cells, checkups = read_table(tables, "cells"), read_table(tables, "checkups")
    rows = join_rows(cells, checkups)
    subset = {cell: name for name in SUBSETS for cell in getattr(split, name)}
    rows["subset"] = rows["cell_id"].map(subset).fillna("unused")
    rows["soh"] = soh(rows, cells, reference)
    return check_labelled_rows(rows[rows["soh"].notna()].reset_index(drop=True))
