"""Quality rules over all cells, from a few numbers per cell; the tables are never in memory together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from battery_core.data.tables.cell_rows import CellRows
from battery_core.data.tables.issues import ALL_CELLS, Issue

_MIN_ROWS = 5  # shorter cells may well have a constant column


@dataclass(frozen=True)
class CellSummary:
    """Store the numbers of one cell that the rules over all cells need.

    Args:
        cell_id: the cell.
        rows: its check-ups.
        labels: digest of its capacities, value by value.
        ranges: lowest and highest value of each column that has values.
    """

    cell_id: str
    rows: int
    labels: str
    ranges: Mapping[str, Sequence[float]]


def summarise(rows: CellRows) -> list[CellSummary]:
    """Return the summary of each cell.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"cell_id": "A", "checkup_index": [0, 1], "capacity_Ah": [2.0, 1.9]})
        >>> summarise(CellRows.of(rows))[0].ranges
        {'capacity_Ah': [1.9, 2.0]}
    """
    capacity = np.ascontiguousarray(rows.columns["capacity_Ah"])
    low, high = (np.array([extremes[i] for extremes in rows.ranges.values()]).T.tolist() for i in (0, 1))
    return [
        CellSummary(
            cell_id=name,
            rows=count,
            labels=hashlib.sha256(capacity[start : start + count].data).hexdigest(),
            ranges={c: [a, b] for c, a, b in zip(rows.ranges, lows, highs, strict=True) if a == a},  # not NaN
        )
        for name, start, count, lows, highs in zip(
            rows.names, rows.starts.tolist(), rows.counts.tolist(), low, high, strict=True
        )
    ]


@dataclass
class AcrossCells:
    """Collect cells in order of their names, and return the issues of all of them together."""

    _cells: list[CellSummary] = field(default_factory=list)

    def add(self, cell: CellSummary) -> None:
        """Add one cell."""
        self._cells.append(cell)

    def issues(self) -> list[Issue]:
        """Return twin cells and constant columns."""
        return [*self._twins(), *self._constant()]

    def _twins(self) -> list[Issue]:
        """Return cells with equal labels: one measurement under two names could be in train and in test."""
        first: dict[str, str] = {}
        issues = []
        for cell in self._cells:
            twin = first.setdefault(cell.labels, cell.cell_id)
            if twin != cell.cell_id and cell.rows > 1:
                text = f"all {cell.rows} capacities equal those of cell '{twin}'"
                issues.append(Issue(cell.cell_id, None, "twin_cell", "capacity_Ah", twin, "flagged", text))
        return issues

    def _constant(self) -> list[Issue]:
        """Return columns with one value everywhere, and cells in which a column that varies elsewhere is constant."""
        long_cells = [cell for cell in self._cells if cell.rows >= _MIN_ROWS]
        issues = []
        for column in dict.fromkeys(column for cell in long_cells for column in cell.ranges):
            ranges = {cell.cell_id: cell.ranges[column] for cell in long_cells if column in cell.ranges}
            constant = {name: low for name, (low, high) in ranges.items() if low == high}
            if len(constant) == len(ranges) and len(set(constant.values())) == 1:
                value = f"{next(iter(constant.values())):.6g}"
                reason = f"{column} is {value} in every check-up of {len(ranges)} cell(s): no information"
                issues.append(Issue(ALL_CELLS, None, "constant_column", column, value, "flagged", reason))
            elif 2 * len(constant) < len(ranges):
                for name, low in constant.items():
                    reason = f"{column} stands still in this cell and moves in {len(ranges) - len(constant)} others"
                    issues.append(Issue(name, None, "constant_in_cell", column, f"{low:.6g}", "flagged", reason))
        return issues
