"""Issues: suspicious observations in the data, one entry each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from battery_core.data.tables.cell_rows import CellRows

Action = Literal["kept", "flagged", "quarantined"]
ALL_CELLS = "all cells"
"""Value of ``cell_id`` in an issue about a whole column."""


@dataclass(frozen=True)
class Issue:
    """Store one observation about one check-up, or about a whole cell (``row`` is None).

    Args:
        cell_id: the cell.
        row: check-up index in the raw file, from 0.
        rule: short name of the check.
        column: the column concerned.
        value: the observed value, as text; JSON has no infinity.
        action: kept (a note), flagged (kept, to look at) or quarantined (taken out).
        reason: one sentence for people.

    Example:
        >>> Issue("A1", 3, "non_finite", "voltage_entropy", "-inf", "quarantined", "not a number").action
        'quarantined'
    """

    cell_id: str
    row: int | None
    rule: str
    column: str
    value: str
    action: Action
    reason: str


def of_rows(rows: pd.DataFrame, bad: Any, rule: str, column: str, action: Action, reason: str) -> list[Issue]:
    """Return one issue for each row where ``bad`` is True."""
    if not bad.any():
        return []
    picked = zip(rows["cell_id"][bad], rows["checkup_index"][bad], rows[column][bad], strict=True)
    return [Issue(str(cell), int(row), rule, column, f"{value:.6g}", action, reason) for cell, row, value in picked]


def first_of_cells(rows: CellRows, bad: Any, values: Any, rule: str, column: str, problem: str) -> list[Issue]:
    """Return one flag a cell, at its first such check-up: a cell may have hundreds."""
    if not bad.any():
        return []
    cells, firsts, counts = np.unique(rows.codes[bad], return_index=True, return_counts=True)
    index, first_values = rows.index[bad][firsts].tolist(), values[bad][firsts].tolist()
    return [
        Issue(
            rows.names[cell], first, rule, column, f"{value:.6g}", "flagged",
            f"{problem} in {count} check-up(s) from number {first} on: kept, to look at",
        )
        for cell, first, value, count in zip(cells.tolist(), index, first_values, counts.tolist(), strict=True)
    ]  # fmt: skip
