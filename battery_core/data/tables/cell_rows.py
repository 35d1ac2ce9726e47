"""Check-ups of several cells as numeric arrays; statistics that every check needs are computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

Numbers = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_NAMED = ("cell_id", "checkup_index")  # they identify a row; all other columns are numbers


@dataclass(frozen=True)
class CellRows:
    """Store check-ups of cells, the rows of each cell together and in order.

    Args:
        names: the cells, in order.
        codes: position of each row's cell in ``names``; shape (rows,).
        index: number of each check-up; shape (rows,).
        columns: every other column as float64, a missing number is NaN; each of shape (rows,).
    """

    names: Sequence[str]
    codes: Integers
    index: Integers
    columns: Mapping[str, Numbers]

    @classmethod
    def of(cls, rows: pd.DataFrame, codes: Integers | None = None, names: Iterable[Any] | None = None) -> CellRows:
        """Return the rows of a table of check-ups; ``codes`` and ``names`` where its cells are factorized already.

        Example:
            >>> rows = CellRows.of(pd.DataFrame({"cell_id": ["A", "A", "B"], "checkup_index": 0, "capacity_Ah": 2.0}))
            >>> rows.starts.tolist(), rows.counts.tolist()
            ([0, 2], [2, 1])
        """
        if codes is None or names is None:
            codes, unique = pd.factorize(rows["cell_id"])
            names = unique
        numbers = {str(name): _numbers(column) for name, column in rows.items() if name not in _NAMED}
        return cls([str(name) for name in names], codes, rows["checkup_index"].to_numpy(dtype="int64"), numbers)

    @cached_property
    def starts(self) -> Integers:
        """Return the first row of each cell; shape (cells,)."""
        return np.flatnonzero(np.diff(self.codes, prepend=-1))

    @cached_property
    def counts(self) -> Integers:
        """Return the number of rows of each cell; shape (cells,)."""
        return np.diff(self.starts, append=len(self.codes))

    @cached_property
    def ranges(self) -> Mapping[str, tuple[Numbers, Numbers, bool]]:
        """Return minimum and maximum of each column by cell, NaN where it has none, and whether any is missing.

        Shape (cells,) each. All checks of a range share these: the numbers are scanned once.
        """

        def extremes(values: Numbers) -> tuple[Numbers, Numbers, bool]:
            is_missing = bool(np.isnan(np.minimum.reduce(values, initial=np.inf)))  # one NaN makes the least NaN
            return np.fmin.reduceat(values, self.starts), np.fmax.reduceat(values, self.starts), is_missing

        return {name: extremes(values) for name, values in self.columns.items()}

    def step(self, values: Numbers) -> Numbers:
        """Return the change since the previous check-up of the cell; NaN at its first."""
        step = np.empty_like(values)
        np.subtract(values[1:], values[:-1], out=step[1:])
        step[self.starts] = np.nan
        return step

    def median(self, column: str, cell: int) -> float:
        """Return the median of a cell's values in a column, missing ones left out; NaN where all are missing."""
        values = self.columns[column][self.starts[cell] : self.starts[cell] + self.counts[cell]]
        measured = values[~np.isnan(values)]
        return float(np.median(measured)) if len(measured) else float("nan")

    def digests(self) -> list[str]:
        """Return the SHA-256 of each cell's numbers; a column without any value does not count.

        Example:
            >>> rows = pd.DataFrame({"cell_id": "A", "checkup_index": [0, 1], "capacity_Ah": [2.0, 1.9]})
            >>> CellRows.of(rows).digests() == CellRows.of(rows.assign(time_days=float("nan"))).digests()
            True
        """
        columns = {name: np.ascontiguousarray(values) for name, values in self.columns.items()}
        has_values = {name: (~np.isnan(self.ranges[name][0])).tolist() for name in columns}
        digests = []
        for i, (start, count) in enumerate(zip(self.starts.tolist(), self.counts.tolist(), strict=True)):
            names = [name for name in columns if has_values[name][i]]
            digest = hashlib.sha256(f"{count} {' '.join(names)}\n".encode())
            digest.update(np.ascontiguousarray(self.index[start : start + count]).data)
            for name in names:
                digest.update(columns[name][start : start + count].data)
            digests.append(digest.hexdigest())
        return digests

    def as_arrow(self, types: pa.Schema) -> pa.Table:
        """Return a table with exactly these columns, in this order; a missing number is null.

        ``cell_id`` is not among them: it is one word for all rows of a cell.
        """

        def column(field: pa.Field) -> pa.Array:
            if field.name == "checkup_index":
                return pa.array(self.index, field.type)
            low, _, is_missing = self.ranges[field.name]
            if is_missing and np.isnan(low).all():
                return pa.nulls(len(self.codes), field.type)
            return pa.array(self.columns[field.name], field.type, from_pandas=is_missing)  # else without a copy

        return pa.table([column(field) for field in types], schema=types)


def _numbers(column: pd.Series[Any]) -> Numbers:
    """Return values as float64, all NaN where they are no numbers: the schema refuses them with the column's name."""
    try:
        return column.to_numpy(dtype=np.float64)
    except (ValueError, TypeError):
        return np.full(len(column), np.nan)
