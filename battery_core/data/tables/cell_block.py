"""The check-ups of one cell as they are kept: one piece of memory that is hashed, written and read as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from battery_core.data.tables.cell_rows import CellRows

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Block:
    """Check-ups of one cell.

    Args:
        names: the columns that have a value, in order; one without any takes no place.
        numbers: shape (1 + columns, rows), float64, a missing number is NaN; the first row is the bits of the numbers
            of the check-ups, int64.
    """

    names: tuple[str, ...]
    numbers: Any

    @property
    def rows(self) -> int:
        """Number of check-ups."""
        return int(self.numbers.shape[1])

    @property
    def index(self) -> Any:
        """Number of each check-up; shape (rows,), int64."""
        return self.numbers[0].view("int64")

    def digest(self) -> str:
        """Sha256 of all that is in it."""
        whole = hashlib.sha256(f"{len(self.names)} {' '.join(self.names)}\n".encode())
        whole.update(self.numbers)
        return whole.hexdigest()

    def ranges(self) -> dict[str, list[float]]:
        """Lowest and highest value of each column."""
        import numpy as np

        low, high = (extreme.reduce(self.numbers[1:], axis=1).tolist() for extreme in (np.fmin, np.fmax))
        return {name: [a, b] for name, a, b in zip(self.names, low, high, strict=True)}

    def frame(self, columns: Sequence[str]) -> pd.DataFrame:
        """A table of number of check-up and these columns."""
        import numpy as np
        import pandas as pd

        known = dict(zip(self.names, self.numbers[1:], strict=True))
        return pd.DataFrame({"checkup_index": self.index, **{name: known.get(name, np.nan) for name in columns}})


def blocks_of(rows: CellRows) -> list[Block]:
    """The rows of each cell for itself.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"cell_id": "A", "checkup_index": [0, 1], "capacity_Ah": [2.0, 1.9], "time_days": None})
        >>> (block,) = blocks_of(CellRows.of(rows))
        >>> block.names, block.index.tolist(), block.numbers[1].tolist()
        (('capacity_Ah',), [0, 1], [2.0, 1.9])
    """
    import numpy as np

    given = list(rows.columns.items())
    has_values = np.array([~np.isnan(rows.ranges[name][0]) for name, _ in given]).T.tolist()
    blocks = []
    for start, n, there in zip(rows.starts.tolist(), rows.counts.tolist(), has_values, strict=True):
        mine = [column for column, is_there in zip(given, there, strict=True) if is_there]
        numbers = np.empty((1 + len(mine), n))
        numbers[0].view("int64")[:] = rows.index[start : start + n]
        for i, (_, values) in enumerate(mine, start=1):
            numbers[i] = values[start : start + n]
        blocks.append(Block(tuple(name for name, _ in mine), numbers))
    return blocks


def rows_of(blocks: Mapping[str, Block], columns: Sequence[str]) -> CellRows:
    """The rows of cells one after the other, with these columns."""
    import numpy as np

    counts = [block.rows for block in blocks.values()]
    whole = np.full((len(columns), sum(counts)), np.nan)
    place, start = {name: i for i, name in enumerate(columns)}, 0
    for block in blocks.values():
        whole[[place[name] for name in block.names], start : start + block.rows] = block.numbers[1:]
        start += block.rows
    index = np.concatenate([block.index for block in blocks.values()]) if blocks else np.empty(0, dtype="int64")
    return CellRows(
        list(blocks), np.repeat(np.arange(len(counts)), counts), index, dict(zip(columns, whole, strict=True))
    )
