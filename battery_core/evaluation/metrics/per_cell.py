"""Errors of each cell, the base of every comparison of models, and the check-ups that are evaluated.

The rule for predictions that are not finite is that of ``battery_core.cell_errors``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.cell_errors import cell_mape, mean_over_cells, means_by_cell
from battery_core.errors import DataError

if TYPE_CHECKING:
    from pandas import Index, Series

Array = npt.NDArray[np.float64]
FIRST_CHECKUP = "first_checkup"
"""The SOH reference that makes a cell's first check-up 1 by definition."""


@dataclass(frozen=True)
class CellErrors:
    """Errors of each cell, in the order of their names.

    A cell with a measured or predicted value that is not finite has NaN errors. A cell with a measured SOH of 0 has no
    percentage error: its ``mape`` alone is NaN.

    Args:
        cell_ids: name of each cell, shape (C,).
        n_rows: number of check-ups of each cell, shape (C,).
        mape: mean absolute percentage error, %, shape (C,).
        rmse: root mean squared error, fraction of SOH, shape (C,).
        bias: mean of prediction minus measurement, fraction of SOH, shape (C,).
    """

    cell_ids: Index[Any]
    n_rows: npt.NDArray[np.int64]
    mape: Array
    rmse: Array
    bias: Array

    @property
    def mean_mape(self) -> float:
        """Mean over cells, %; NaN if a cell's error is NaN, or without cells."""
        return mean_over_cells(self.mape)

    @property
    def mean_rmse(self) -> float:
        """Mean over cells, fraction of SOH; NaN if a cell's error is NaN, or without cells."""
        return mean_over_cells(self.rmse)

    def as_worst(self) -> CellErrors:
        """Return the same with infinite errors for NaN, for tables that pandas sorts or averages: it skips NaN."""
        mape, rmse, bias = (np.where(np.isnan(x), np.inf, x) for x in (self.mape, self.rmse, self.bias))
        return CellErrors(self.cell_ids, self.n_rows, mape, rmse, bias)

    def worst_first(self) -> list[Any]:
        """Return the names of the cells by their ``mape``, the largest first; NaN is the worst."""
        order = np.argsort(-self.as_worst().mape, kind="stable")
        return list(self.cell_ids[order])

    def frame(self) -> pd.DataFrame:
        """Return a table with the columns cell_id, n, mape, rmse and bias."""
        columns = {"n": self.n_rows, "mape": self.mape, "rmse": self.rmse, "bias": self.bias}
        return pd.DataFrame({"cell_id": self.cell_ids, **columns})


def per_cell_errors(cell_ids: npt.ArrayLike | Series[Any], soh: npt.ArrayLike, prediction: npt.ArrayLike) -> CellErrors:
    """Return the errors of each cell. Rows are matched by position, never by a pandas index.

    Args:
        cell_ids: the cell of each check-up, shape (N,), in any order.
        soh: measured, as a fraction, shape (N,).
        prediction: predicted SOH, shape (N,).

    Raises:
        DataError: the lengths differ, or a row has no cell.

    Example:
        >>> errors = per_cell_errors(["A", "B", "A"], [1.0, 0.5, 0.8], [0.99, 0.6, 0.81])
        >>> errors.frame().round(4).to_dict("records")[0]
        {'cell_id': 'A', 'n': 2, 'mape': 1.125, 'rmse': 0.01, 'bias': 0.0}
        >>> round(errors.mean_mape, 4)
        10.5625
    """
    names, measured = pd.Series(cell_ids), np.asarray(soh, dtype=np.float64)
    predicted = np.asarray(prediction, dtype=np.float64)
    if not len(names) == len(measured) == len(predicted):
        raise DataError(
            "per-cell errors: expected one cell, one SOH and one prediction a row, "
            f"got {len(names)}, {len(measured)} and {len(predicted)}"
        )
    codes, cells = pd.factorize(names, sort=True)
    if (codes < 0).any():
        raise DataError(f"per-cell errors: {(codes < 0).sum()} of {len(codes)} rows have no cell_id - name their cells")
    with np.errstate(invalid="ignore"):
        error = predicted - measured
    return CellErrors(
        cell_ids=pd.Index(cells),
        n_rows=np.bincount(codes, minlength=len(cells)),
        mape=cell_mape(codes, measured, predicted),
        rmse=np.sqrt(means_by_cell(codes, error**2)),
        bias=means_by_cell(codes, error),
    )


def is_first_checkup(rows: pd.DataFrame) -> Series[bool]:
    """Return whether each row is its cell's check-up with the lowest index, in any order of rows.

    Args:
        rows: columns cell_id and checkup_index.
    """
    number = rows["checkup_index"]
    return number == number.groupby(rows["cell_id"], sort=False).transform("min")


def drop_reference_checkup(rows: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Return the check-ups that are used for an error or a coverage, in the same order and with the same index.

    With SOH relative to a cell's first check-up, that check-up is 1 by definition, so its error says nothing. A cell
    without another check-up is not evaluated. With any other reference all rows are used.

    Args:
        rows: columns cell_id and checkup_index; every row of the cells that are evaluated.
        reference: what SOH is relative to.

    Example:
        >>> rows = pd.DataFrame({"cell_id": ["A", "A", "B"], "checkup_index": [4, 3, 0]})
        >>> drop_reference_checkup(rows, "first_checkup").to_dict("records")
        [{'cell_id': 'A', 'checkup_index': 4}]
        >>> len(drop_reference_checkup(rows, "nominal"))
        3
    """
    return rows if reference != FIRST_CHECKUP else rows[~is_first_checkup(rows)]


def rows_to_score(rows: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Return ``drop_reference_checkup(rows, reference)`` where a report needs at least one row.

    Raises:
        DataError: no row is left.
    """
    if rows.empty:
        raise DataError("evaluation: expected labelled check-ups to score, got none - is the test subset empty?")
    left = drop_reference_checkup(rows, reference)
    if left.empty:
        raise DataError(
            "evaluation: expected a check-up after the first, whose SOH is 1 by definition, got none in "
            f"{rows['cell_id'].nunique()} cells - give cells with two check-ups or more, or set "
            "data.soh_reference=nominal"
        )
    return left
