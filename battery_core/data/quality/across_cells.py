"""Rules that need all cells, on a few numbers a cell: the tables themselves are never in memory together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from battery_core.data.tables.cell_block import Block, blocks_of
from battery_core.data.tables.cell_rows import CellRows
from battery_core.data.tables.issues import ALL_CELLS, Issue

_LEAST_ROWS = 5  # below, a column may well stand still


@dataclass(frozen=True)
class CellSummary:
    """What the rules across cells need to know of one cell.

    Args:
        cell_id: the cell.
        rows: its check-ups.
        labels: digest of its capacities, value by value.
        content: digest of all its numbers.
        ranges: lowest and highest value of each column that has values.
    """

    cell_id: str
    rows: int
    labels: str
    content: str
    ranges: Mapping[str, Sequence[float]]


def summarise(rows: CellRows, blocks: Sequence[Block] | None = None) -> list[CellSummary]:
    """Summaries of cells; ``blocks`` are their numbers as they are kept, where they are made already.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"cell_id": "A", "checkup_index": [0, 1], "capacity_Ah": [2.0, 1.9]})
        >>> summarise(CellRows.of(rows))[0].ranges
        {'capacity_Ah': [1.9, 2.0]}
    """
    import numpy as np

    blocks = blocks_of(rows) if blocks is None else blocks
    capacity = np.ascontiguousarray(rows.columns["capacity_Ah"])
    low, high = (np.array([extremes[i] for extremes in rows.ranges.values()]).T.tolist() for i in (0, 1))
    return [
        CellSummary(
            cell_id=name,
            rows=count,
            labels=hashlib.sha256(capacity[start : start + count].data).hexdigest(),
            content=block.digest(),
            ranges={c: [a, b] for c, a, b in zip(rows.ranges, lows, highs, strict=True) if a == a},  # not NaN
        )
        for name, start, count, block, lows, highs in zip(
            rows.names, rows.starts.tolist(), rows.counts.tolist(), blocks, low, high, strict=True
        )
    ]


@dataclass
class AcrossCells:
    """Takes cells one by one, in order of their names, and says at the end what is wrong with them together."""

    _cells: list[CellSummary] = field(default_factory=list)

    def add(self, cell: CellSummary) -> None:
        """One more cell."""
        self._cells.append(cell)

    def issues(self) -> list[Issue]:
        """Twins and columns that stand still."""
        return [*self._twins(), *self._constant()]

    def _twins(self) -> list[Issue]:
        """Cells with the same labels, value by value: one measurement under two names would be in train and test."""
        first: dict[str, str] = {}
        issues = []
        for cell in self._cells:
            twin = first.setdefault(cell.labels, cell.cell_id)
            if twin != cell.cell_id and cell.rows > 1:
                text = f"all {cell.rows} capacities equal those of cell '{twin}'"
                issues.append(Issue(cell.cell_id, None, "twin_cell", "capacity_Ah", twin, "flagged", text))
        return issues

    def _constant(self) -> list[Issue]:
        """Columns with one value everywhere; and where a column moves in most cells, the cells in which it does not."""
        long = [cell for cell in self._cells if cell.rows >= _LEAST_ROWS]
        issues = []
        for column in dict.fromkeys(column for cell in long for column in cell.ranges):
            ranges = {cell.cell_id: cell.ranges[column] for cell in long if column in cell.ranges}
            still = {name: low for name, (low, high) in ranges.items() if low == high}
            if len(still) == len(ranges) and len(set(still.values())) == 1:
                value = f"{next(iter(still.values())):.6g}"
                reason = f"{column} is {value} in every check-up of {len(ranges)} cell(s): it tells a model nothing"
                issues.append(Issue(ALL_CELLS, None, "constant_column", column, value, "flagged", reason))
            elif 2 * len(still) < len(ranges):
                for name, low in still.items():
                    reason = f"{column} stands still in this cell and moves in {len(ranges) - len(still)} others"
                    issues.append(Issue(name, None, "constant_in_cell", column, f"{low:.6g}", "flagged", reason))
        return issues
