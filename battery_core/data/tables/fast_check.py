"""Fast check that a table passes its schema; pandera takes ten times as long on valid tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from battery_core.data.tables.cell_rows import CellRows

# pandera's name of a check -> whether a column passes that lies between its lowest and its highest value
_NUMBERS: Mapping[str, Callable[..., bool]] = {
    "is_finite": lambda low, high: bool(abs(low) < float("inf") and abs(high) < float("inf")),
    "greater_than": lambda low, high, min_value: bool(low > min_value),
    "greater_than_or_equal_to": lambda low, high, min_value: bool(low >= min_value),
    "less_than_or_equal_to": lambda low, high, max_value: bool(high <= max_value),
}
# the same for the different words of a column
_WORDS: Mapping[str, Callable[..., bool]] = {
    "isin": lambda words, allowed_values: set(words) <= set(allowed_values),
    "str_length": lambda words, min_value, max_value, exact_value: (
        max_value is None and exact_value is None and all(len(word) >= min_value for word in words)
    ),
}


def passes_fast_check(frame: pd.DataFrame, schema: Any, rows: CellRows | None = None) -> bool:
    """Return whether a table surely has the types of a pandera schema and passes its checks; False is undecided.

    Args:
        frame: the table.
        schema: the pandera schema.
        rows: its numeric arrays, if available; they have ranges and order.

    Example:
        >>> import pandas as pd
        >>> import pandera.pandas as pa
        >>> schema = pa.DataFrameSchema({"time_s": pa.Column("float64", pa.Check.ge(0.0))})
        >>> [passes_fast_check(pd.DataFrame({"time_s": [x, 1.0]}), schema) for x in (0.0, -1.0)]
        [True, False]
    """
    columns = frame.columns if schema.strict else frame.columns.intersection(list(schema.columns))
    if frame.empty or sorted(columns) != sorted(schema.columns):
        return False
    types = dict(zip(frame.columns, frame.dtypes, strict=True))
    known = rows.ranges if rows else {}
    return _are_unique(frame, schema.unique, rows) and all(
        _is_right_number(types[name], *_extremes(*known[name]), column)
        if name in known
        else _is_right(types[name], frame[name], column, rows.names if rows and name == "cell_id" else None)
        for name, column in schema.columns.items()
    )


def are_in_order(cells: Any, index: Any, *, strictly: bool = False) -> bool:
    """Return whether cells are grouped with check-ups in order; strictly: without duplicates.

    Example:
        >>> import numpy as np
        >>> [are_in_order(np.array([0, 0, 1]), np.array([3, 3, 0]), strictly=s) for s in (False, True)]
        [True, False]
    """
    further = index[1:] > index[:-1] if strictly else index[1:] >= index[:-1]
    return bool(((cells[1:] > cells[:-1]) | ((cells[1:] == cells[:-1]) & further)).all())


def _are_unique(frame: pd.DataFrame, columns: list[str] | None, rows: CellRows | None) -> bool:
    if not columns:
        return True
    cell, index = columns
    if rows is None:
        return are_in_order(pd.factorize(frame[cell])[0], frame[index].to_numpy(), strictly=True)
    return are_in_order(rows.codes, rows.index, strictly=True)


def _extremes(low: Any, high: Any, is_missing: bool) -> tuple[float, float, bool]:
    """Return the extremes over all cells from those of each cell."""
    return float(np.fmin.reduce(low)), float(np.fmax.reduce(high)), is_missing


def _is_right_number(dtype: Any, low: float, high: float, is_missing: bool, column: Any) -> bool:
    if column.dtype.type != dtype or column.unique or (is_missing and not column.nullable):
        return False
    if low != low:  # nothing is there
        return True
    return all(
        check.name in _NUMBERS and _NUMBERS[check.name](low, high, **check.statistics) for check in column.checks
    )


def _is_right(dtype: Any, values: pd.Series[Any], column: Any, words: Any = None) -> bool:
    if dtype in ("float64", "int64"):
        numbers = values.to_numpy()
        low, high = np.fmin.reduce(numbers), np.fmax.reduce(numbers)
        return _is_right_number(dtype, low, high, bool(np.isnan(numbers).any()), column)
    words = values.unique() if words is None else words
    if not (isinstance(dtype, pd.StringDtype) and isinstance(column.dtype.type, pd.StringDtype)):
        return False
    if pd.isna(words).any() or (column.unique and not values.is_unique):
        return False
    return all(check.name in _WORDS and _WORDS[check.name](words, **check.statistics) for check in column.checks)
