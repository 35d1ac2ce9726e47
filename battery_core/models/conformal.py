"""How far a predicted SOH may be off: intervals calibrated on whole cells that the weights were not fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from battery_core.errors import DataError

Array = npt.NDArray[np.float64]
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Coverages that are calibrated beside the one that serves: what the calibration of a report is drawn from."""
_FRESH = 0.05  # fade at which the scale has doubled: a fresh cell's error is not zero


@dataclass(frozen=True)
class Conformal:
    """Split-conformal intervals of SOH, symmetric, wider the further a cell has faded.

    The score of a check-up is ``|SOH - prediction| / fade_scale(prediction)``. Check-ups of one cell err together, so
    cells are what is exchangeable: each calibration cell weighs the same, however many check-ups it has, and the
    quantile of the pooled scores is taken. With C cells a check-up of a new, exchangeable cell is covered at least
    with probability ``coverage * C / (C + 1)`` whatever the errors look like (``guaranteed``), and about with
    ``coverage`` when C is large. The guarantee holds over the drawing of cells; a single cell may be covered less.

    Args:
        coverage: the share of check-ups that the interval is meant to hold.
        quantiles: scale factor for each coverage; has that of ``coverage``.
        n_cells: calibration cells C.
        n_rows: their check-ups.

    Reference:
        R. Dunn, L. Wasserman, A. Ramdas, Distribution-free prediction sets for two-layer hierarchical models (2023),
        pooled CDFs; Y. Lee, R. F. Barber, R. Willett, Distribution-free inference with hierarchical data (2023), whose
        interval at level 1 - alpha is this one at coverage (1 - alpha) (C + 1) / C.

    Example:
        >>> import numpy as np
        >>> cells = ["A"] * 4 + ["B"]
        >>> soh = np.array([0.91, 0.91, 0.91, 0.91, 0.95])
        >>> conformal = Conformal.calibrate(soh, np.full(5, 0.9), cells, coverage=0.9)
        >>> [round(float(bound[0]), 3) for bound in conformal.bounds(np.array([0.9]))]
        [0.85, 0.95]
    """

    coverage: float
    quantiles: Mapping[float, float]
    n_cells: int
    n_rows: int

    @classmethod
    def calibrate(
        cls, soh: npt.ArrayLike, prediction: npt.ArrayLike, cell_ids: npt.ArrayLike, coverage: float = 0.9
    ) -> Self:
        """Measure how far predictions are off on calibration cells.

        Args:
            soh: measured, shape (N,).
            prediction: shape (N,).
            cell_ids: the cell of each check-up, shape (N,).
            coverage: the share of check-ups to hold, between 0 and 1.

        Raises:
            DataError: no check-up has both a label and a prediction.
        """
        measured, predicted = np.asarray(soh, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
        known = np.isfinite(measured) & np.isfinite(predicted)
        if not known.any():
            raise DataError(
                f"intervals: none of {len(measured)} check-ups of the calibration cells has a label and a prediction - "
                "is the validation part of the split empty?"
            )
        cells = np.asarray(cell_ids)[known]
        scores = np.abs(measured[known] - predicted[known]) / fade_scale(predicted[known])
        levels = sorted({*LEVELS, coverage})
        return cls(
            coverage, dict(zip(levels, _quantiles(scores, cells, levels), strict=True)), len(set(cells)), len(scores)
        )

    @property
    def guaranteed(self) -> float:
        """Coverage of a check-up of a new exchangeable cell that no distribution of errors can undercut."""
        return self.coverage * self.n_cells / (self.n_cells + 1)

    def bounds(self, prediction: npt.ArrayLike, coverage: float | None = None) -> tuple[Array, Array]:
        """Lower and upper end of the SOH of each check-up, shape (N,) each.

        Args:
            prediction: SOH, shape (N,).
            coverage: one of those calibrated; the one that serves when not given.
        """
        centre = np.asarray(prediction, dtype=np.float64)
        half = self.quantiles[self.coverage if coverage is None else coverage] * fade_scale(centre)
        return centre - half, centre + half

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        quantiles = [[level, value] for level, value in self.quantiles.items()]
        return {
            "coverage": self.coverage,
            "guaranteed": self.guaranteed,
            "quantiles": quantiles,
            "n_cells": self.n_cells,
            "n_rows": self.n_rows,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """What ``to_json`` wrote."""
        quantiles = {float(level): float(value) for level, value in content["quantiles"]}
        return cls(content["coverage"], quantiles, content["n_cells"], content["n_rows"])


def fade_scale(prediction: npt.ArrayLike) -> Array:
    """What errors are measured in: errors of SOH grow about in proportion to how far the cell has faded.

    Example:
        >>> fade_scale([1.02, 0.9]).round(3).tolist()
        [0.05, 0.15]
    """
    return _FRESH + np.maximum(1.0 - np.asarray(prediction, dtype=np.float64), 0.0)


def _quantiles(scores: Array, cells: npt.NDArray[Any], levels: list[float]) -> list[float]:
    """Smallest scores that hold at least these shares of the check-ups, each cell weighing one."""
    _, number, size = np.unique(cells, return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    held = np.cumsum(1.0 / (len(size) * size[number[order]]))
    at = np.minimum(np.searchsorted(held, np.asarray(levels) - 1e-9), len(scores) - 1)  # rounding of the sum
    return [float(score) for score in scores[order][at]]
