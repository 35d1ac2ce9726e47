"""What was found wrong in the data: one finding an observation, for people and for the quarantine table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

    from battery_core.data.tables.cell_rows import CellRows

Action = Literal["kept", "flagged", "quarantined"]
ALL_CELLS = "all cells"
"""Stands in ``cell_id`` of a finding about a whole column."""


@dataclass(frozen=True)
class Issue:
    """One observation about one check-up, or about a whole cell (``row`` is None).

    Args:
        cell_id: the cell.
        row: check-up index in the raw file, from 0.
        rule: short name of the check.
        column: the column concerned.
        value: what was found, as text; JSON has no infinity.
        action: kept (said only), flagged (kept, to look at) or quarantined (taken out).
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
    """One finding for each row where ``bad`` is True."""
    if not bad.any():
        return []
    picked = zip(rows["cell_id"][bad], rows["checkup_index"][bad], rows[column][bad], strict=True)
    return [Issue(str(cell), int(row), rule, column, f"{value:.6g}", action, reason) for cell, row, value in picked]


def first_of_cells(rows: CellRows, bad: Any, values: Any, rule: str, column: str, what: str) -> list[Issue]:
    """One flag a cell, at its first such check-up: a cell may have hundreds, and people read this."""
    if not bad.any():
        return []
    import numpy as np

    cells, firsts, counts = np.unique(rows.codes[bad], return_index=True, return_counts=True)
    index, found = rows.index[bad][firsts].tolist(), values[bad][firsts].tolist()
    return [
        Issue(
            rows.names[cell], first, rule, column, f"{value:.6g}", "flagged",
            f"{what} in {count} check-up(s) from number {first} on: kept, to look at",
        )
        for cell, first, value, count in zip(cells.tolist(), index, found, counts.tolist(), strict=True)
    ]  # fmt: skip
