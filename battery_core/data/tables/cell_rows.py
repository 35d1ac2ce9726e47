"""Check-ups of cells one after the other as plain numbers: what every check needs is worked out once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_NAMED = ("cell_id", "checkup_index")  # what a row is of; all other columns are numbers


@dataclass(frozen=True)
class CellRows:
    """Check-ups of cells, each cell's rows together and in order.

    Args:
        names: the cells, as they come.
        codes: number of each row's cell in ``names``; shape (rows,).
        index: number of each check-up; shape (rows,).
        columns: every other column as float64, a missing number is NaN; each of shape (rows,).
    """

    names: Sequence[str]
    codes: Any
    index: Any
    columns: Mapping[str, Any]

    @classmethod
    def of(cls, rows: pd.DataFrame, codes: Any = None, names: Any = None) -> CellRows:
        """Of a table of check-ups; ``codes`` and ``names`` where its cells are numbered already.

        Example:
            >>> import pandas as pd
            >>> rows = CellRows.of(pd.DataFrame({"cell_id": ["A", "A", "B"], "checkup_index": 0, "capacity_Ah": 2.0}))
            >>> rows.starts.tolist(), rows.counts.tolist()
            ([0, 2], [2, 1])
        """
        import pandas as pd

        if codes is None:
            codes, names = pd.factorize(rows["cell_id"])
        numbers = {str(name): _numbers(column) for name, column in rows.items() if name not in _NAMED}
        return cls([str(name) for name in names], codes, rows["checkup_index"].to_numpy(dtype="int64"), numbers)

    @cached_property
    def starts(self) -> Any:
        """Where each cell begins; shape (cells,)."""
        import numpy as np

        return np.flatnonzero(np.diff(self.codes, prepend=-1))

    @cached_property
    def counts(self) -> Any:
        """Rows of each cell; shape (cells,)."""
        import numpy as np

        return np.diff(self.starts, append=len(self.codes))

    @cached_property
    def ranges(self) -> Mapping[str, tuple[Any, Any, bool]]:
        """Of each column the lowest and highest value in each cell, NaN where it has none, and whether any is missing.

        Shape (cells,) each. Every check that asks for the range of a column asks here: the numbers are gone through
        once.
        """
        import numpy as np

        def extremes(values: Any) -> tuple[Any, Any, bool]:
            is_missing = bool(np.isnan(np.minimum.reduce(values, initial=np.inf)))  # one NaN makes the least NaN
            return np.fmin.reduceat(values, self.starts), np.fmax.reduceat(values, self.starts), is_missing

        return {name: extremes(values) for name, values in self.columns.items()}

    def step(self, values: Any) -> Any:
        """Change since the cell's check-up before; missing at its first."""
        import numpy as np

        step = np.empty_like(values)
        np.subtract(values[1:], values[:-1], out=step[1:])
        step[self.starts] = np.nan
        return step

    def median(self, column: str, cell: int) -> float:
        """Median of a cell's values in a column, of those that are there; NaN where none is."""
        import numpy as np

        mine = self.columns[column][self.starts[cell] : self.starts[cell] + self.counts[cell]]
        there = mine[~np.isnan(mine)]
        return float(np.median(there)) if len(there) else float("nan")

    def as_arrow(self, types: pa.Schema) -> pa.Table:
        """A table with exactly these columns, in this order; a missing number is null."""
        import numpy as np
        import pyarrow as pa

        def column(field: pa.Field) -> Any:
            if field.name == "cell_id":
                words = pa.array(self.names, field.type)
                return pa.DictionaryArray.from_arrays(self.codes, words).cast(field.type)
            if field.name == "checkup_index":
                return pa.array(self.index, field.type)
            low, _, is_missing = self.ranges[field.name]
            if is_missing and np.isnan(low).all():
                return pa.nulls(len(self.codes), field.type)
            return pa.array(self.columns[field.name], field.type, from_pandas=is_missing)  # else as it lies in memory

        return pa.table([column(field) for field in types], schema=types)


def _numbers(column: pd.Series[Any]) -> Any:
    """Values as float64; none where they are no numbers: the schema says so, with the column's name."""
    import numpy as np

    try:
        return column.to_numpy(dtype=float)
    except (ValueError, TypeError):
        return np.full(len(column), np.nan)
