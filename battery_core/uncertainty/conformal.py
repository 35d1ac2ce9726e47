"""Conformal prediction intervals, calibrated on whole cells that no model weight was fitted to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from battery_core.errors import DataError

Array = npt.NDArray[np.float64]
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Coverages calibrated in addition to the deployed one, for the calibration plot of a report."""
_MOST_FOLDS = 20  # more cells than these are left out several at a time
_HALVINGS = 12  # bisections of the range of levels, for a precision of 0.0001
_FRESH = 0.05  # fade at which the scale has doubled: a fresh cell's error is not zero


@dataclass(frozen=True)
class Conformal:
    """Compute split-conformal intervals of SOH: symmetric, wider for cells with more fade.

    The score of a check-up is ``|SOH - prediction| / fade_scale(prediction)``. Errors within one
    cell are correlated, so cells are the exchangeable units. Each calibration cell has the same weight, for any number
    of check-ups, and the interval is a quantile of the pooled scores. With few cells, the quantile at ``coverage``
    covers too few check-ups of a new cell. The level is therefore raised until left-out cells reach ``coverage`` under
    the quantile of the other cells. With C cells, a check-up of a new, exchangeable cell is covered with probability
    ``coverage * C / (C + 1)`` at least, for any error distribution (``guaranteed``), and about ``coverage`` in
    practice. Both hold on average over draws of cells; a single cell may have less coverage.

    Args:
        coverage: the share of check-ups that the interval is meant to hold.
        quantiles: scale factor for each coverage; has that of ``coverage``.
        n_cells: calibration cells C.
        n_rows: their check-ups.
        calibration_correction: factor of the quantiles, above 1 where these cells are easier than others.

    Reference:
        R. Dunn, L. Wasserman, A. Ramdas, Distribution-free prediction sets for two-layer hierarchical models (2023),
        pooled CDFs; Y. Lee, R. F. Barber, R. Willett, Distribution-free inference with hierarchical data (2023), whose
        interval at level 1 - alpha is this one at coverage (1 - alpha) (C + 1) / C.

    Example:
        >>> import numpy as np
        >>> cells = ["A"] * 4 + ["B"]
        >>> soh = np.array([0.91, 0.91, 0.91, 0.91, 0.95])
        >>> conformal = Conformal.conformalize(soh, np.full(5, 0.9), cells, coverage=0.9)
        >>> [round(float(bound[0]), 3) for bound in conformal.bounds(np.array([0.9]))]
        [0.85, 0.95]
    """

    coverage: float
    quantiles: Mapping[float, float]
    n_cells: int
    n_rows: int
    calibration_correction: float = 1.0

    @classmethod
    def conformalize(
        cls, soh: npt.ArrayLike, prediction: npt.ArrayLike, cell_ids: npt.ArrayLike, coverage: float = 0.9
    ) -> Self:
        """Calibrate intervals on the errors of calibration cells.

        Args:
            soh: measured, shape (N,).
            prediction: shape (N,).
            cell_ids: the cell of each check-up, shape (N,).
            coverage: the share of check-ups to hold, between 0 and 1.

        Raises:
            DataError: no check-up has both a label and a prediction.
        """
        measured, predicted = np.asarray(soh, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
        is_usable = np.isfinite(measured) & np.isfinite(predicted)
        if not is_usable.any():
            raise DataError(
                f"intervals: none of {len(measured)} check-ups of the calibration cells has a label and a prediction - "
                "is the validation part of the split empty?"
            )
        cells = np.asarray(cell_ids)[is_usable]
        scores = Scores.of(np.abs(measured[is_usable] - predicted[is_usable]) / fade_scale(predicted[is_usable]), cells)
        raised = _raised(scores, sorted({*LEVELS, coverage}))
        return cls(
            coverage, {level: scores.quantile(at) for level, at in raised.items()}, scores.n_cells, len(scores.sorted)
        )

    @property
    def guaranteed(self) -> float:
        """Return the guaranteed coverage of a check-up of a new exchangeable cell, for any distribution of errors.

        Nothing is guaranteed of an interval that was narrowed.
        """
        return self.coverage * self.n_cells / (self.n_cells + 1) if self.calibration_correction >= 1 else 0.0

    def corrected(self, factor: float) -> Self:
        """Return the same with intervals wider by this factor.

        Example:
            >>> Conformal(0.9, {0.9: 0.2}, 9, 100).corrected(2.0).quantiles
            {0.9: 0.4}
        """
        quantiles = {level: value * factor for level, value in self.quantiles.items()}
        return replace(self, quantiles=quantiles, calibration_correction=self.calibration_correction * factor)

    def bounds(self, prediction: npt.ArrayLike, coverage: float | None = None) -> tuple[Array, Array]:
        """Return the lower and upper end of the SOH of each check-up, shape (N,) each.

        Args:
            prediction: SOH, shape (N,).
            coverage: one of those calibrated; without it, the chosen one.
        """
        centre = np.asarray(prediction, dtype=np.float64)
        half = self.quantiles[self.coverage if coverage is None else coverage] * fade_scale(centre)
        return centre - half, centre + half

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        quantiles = [[level, value] for level, value in self.quantiles.items()]
        return {
            "coverage": self.coverage,
            "guaranteed": self.guaranteed,
            "quantiles": quantiles,
            "n_cells": self.n_cells,
            "n_rows": self.n_rows,
            "correction": self.calibration_correction,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return what ``to_json`` wrote."""
        quantiles = {float(level): float(value) for level, value in content["quantiles"]}
        correction = content.get("correction", 1.0)  # older models have none
        return cls(content["coverage"], quantiles, content["n_cells"], content["n_rows"], correction)


def fade_scale(prediction: npt.ArrayLike) -> Array:
    """Return the scale of errors: errors of SOH grow about in proportion to the fade of a cell.

    Example:
        >>> fade_scale([1.02, 0.9]).round(3).tolist()
        [0.05, 0.15]
    """
    return _FRESH + np.maximum(1.0 - np.asarray(prediction, dtype=np.float64), 0.0)


@dataclass(frozen=True)
class Scores:
    """Store scores of check-ups in ascending order; each cell has the same total weight.

    Args:
        sorted: scores, shape (N,).
        cell: number of the cell of each, shape (N,).
        held: share of the check-ups up to each, shape (N,).
        n_cells: cells C.
    """

    sorted: Array
    cell: npt.NDArray[np.int64]
    held: Array
    n_cells: int

    @classmethod
    def of(cls, scores: Array, cells: npt.NDArray[Any]) -> Self:
        """Return the scores in rising order."""
        _, number, size = np.unique(cells, return_inverse=True, return_counts=True)
        order = np.argsort(scores, kind="stable")
        weights = 1.0 / (len(size) * size[number[order]])
        return cls(scores[order], number[order], np.cumsum(weights), len(size))

    def quantile(self, level: float) -> float:
        """Return the smallest score that covers at least this fraction of the check-ups."""
        at = int(np.searchsorted(self.held, level - 1e-9))  # rounding of the sum
        return float(self.sorted[min(at, len(self.sorted) - 1)])


def _raised(scores: Scores, levels: list[float]) -> dict[float, float]:
    """Return for each level the lowest level at which left-out cells reach the requested coverage."""
    if scores.n_cells < 2:
        return {level: level for level in levels}
    fold = scores.cell % _MOST_FOLDS
    folds = [
        (Scores.of(scores.sorted[~out], scores.cell[~out]), Scores.of(scores.sorted[out], scores.cell[out]))
        for out in (fold == i for i in np.unique(fold))
    ]

    def holds(at: float, level: float) -> bool:
        shares = [(np.searchsorted(out.sorted, others.quantile(at), "right"), out) for others, out in folds]
        held = sum(out.n_cells * (out.held[n - 1] if n else 0.0) for n, out in shares)
        return bool(held / scores.n_cells >= level - 1e-9)

    return {level: _lowest(level, holds) for level in levels}


def _lowest(level: float, holds: Callable[[float, float], bool]) -> float:
    """Return the lowest level from this one on at which left-out cells reach this coverage, 1 where none does."""
    if holds(level, level):
        return level
    low, high = level, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle, level) else (middle, high)
    return high
