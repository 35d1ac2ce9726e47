"""Rules that need all cells, on a few numbers a cell: the tables themselves are never in memory together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from battery_core.data.findings import ALL_CELLS, Finding

if TYPE_CHECKING:
    import pandas as pd

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


def summarise(rows: pd.DataFrame) -> list[CellSummary]:
    """Summaries of cells whose check-ups lie one after the other.

    Example:
        >>> import pandas as pd
        >>> summarise(pd.DataFrame({"cell_id": "A", "checkup_index": [0, 1], "capacity_Ah": [2.0, 1.9]}))[0].ranges
        {'capacity_Ah': [1.9, 2.0]}
    """
    import numpy as np
    import pandas as pd

    if rows.empty:
        return []
    columns = [name for name in rows.columns if name not in ("cell_id", "checkup_index")]
    values = rows[columns].to_numpy(dtype=float)
    capacity = np.ascontiguousarray(rows["capacity_Ah"].to_numpy(dtype=float))
    index = np.ascontiguousarray(rows["checkup_index"].to_numpy(dtype="int64"))
    cells = pd.factorize(rows["cell_id"])[0]
    starts = np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]]))
    low, high = (extreme.reduceat(values.T, starts, axis=1).T.tolist() for extreme in (np.fmin, np.fmax))
    names = rows["cell_id"].iloc[starts].tolist()
    ends = [*starts[1:].tolist(), len(rows)]
    return [
        CellSummary(
            cell_id=str(names[i]),
            rows=end - int(start),
            labels=_digest(capacity[start:end]),
            content=_digest(index[start:end], np.ascontiguousarray(values[start:end])),
            ranges={c: [a, b] for c, a, b in zip(columns, low[i], high[i], strict=True) if a == a},  # a == a: not NaN
        )
        for i, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def _digest(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


@dataclass
class AcrossCells:
    """Takes cells one by one, in order of their names, and says at the end what is wrong with them together."""

    _cells: list[CellSummary] = field(default_factory=list)

    def add(self, cell: CellSummary) -> None:
        """One more cell."""
        self._cells.append(cell)

    def findings(self) -> list[Finding]:
        """Twins and columns that stand still."""
        return [*self._twins(), *self._constant()]

    def _twins(self) -> list[Finding]:
        """Cells with the same labels, value by value: one measurement under two names would be in train and test."""
        first: dict[str, str] = {}
        findings = []
        for cell in self._cells:
            twin = first.setdefault(cell.labels, cell.cell_id)
            if twin != cell.cell_id and cell.rows > 1:
                text = f"all {cell.rows} capacities equal those of cell '{twin}'"
                findings.append(Finding(cell.cell_id, None, "twin_cell", "capacity_Ah", twin, "flagged", text))
        return findings

    def _constant(self) -> list[Finding]:
        """Columns with one value everywhere; and where a column moves in most cells, the cells in which it does not."""
        long = [cell for cell in self._cells if cell.rows >= _LEAST_ROWS]
        findings = []
        for column in dict.fromkeys(column for cell in long for column in cell.ranges):
            ranges = {cell.cell_id: cell.ranges[column] for cell in long if column in cell.ranges}
            still = {name: low for name, (low, high) in ranges.items() if low == high}
            if len(still) == len(ranges) and len(set(still.values())) == 1:
                value = f"{next(iter(still.values())):.6g}"
                reason = f"{column} is {value} in every check-up of {len(ranges)} cell(s): it tells a model nothing"
                findings.append(Finding(ALL_CELLS, None, "constant_column", column, value, "flagged", reason))
            elif 2 * len(still) < len(ranges):
                for name, low in still.items():
                    reason = f"{column} stands still in this cell and moves in {len(ranges) - len(still)} others"
                    findings.append(Finding(name, None, "constant_in_cell", column, f"{low:.6g}", "flagged", reason))
        return findings
