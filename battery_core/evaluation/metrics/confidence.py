"""Confidence intervals over cells for each mean of a report, and the ranges of SOH."""

from __future__ import annotations

import bisect
import math

import numpy.typing as npt

from battery_core.evaluation.metrics.bootstrap import interval_over_cells

CONFIDENCE = 0.95
ROUGH_BELOW = 10  # cells; percentile intervals of fewer are too narrow
METHOD = f"percentile bootstrap over cells, {100 * CONFIDENCE:.0f} %, 4000 draws, seed 0"
SOH_EDGES = (0.7, 0.8, 0.85, 0.9, 0.95)
"""Lower ends of the ranges of SOH in reports; SOH below the first is a range, too."""
BELOW_ALL = -math.inf


def bounds(name: str, errors: npt.ArrayLike) -> dict[str, float | None]:
    """Return the bootstrap interval of a mean over cells as ``name_low`` and ``name_high``.

    Args:
        name: of the mean.
        errors: one value a cell, shape (C,); a single cell, or one that is not finite, gives None.

    Example:
        >>> bounds("mape", [2.0])
        {'mape_low': None, 'mape_high': None}
        >>> bounds("mape", [2.0, 2.0, 2.0])
        {'mape_low': 2.0, 'mape_high': 2.0}
    """
    interval = interval_over_cells(errors, CONFIDENCE)
    low, high = (value if math.isfinite(value) else None for value in (interval.low, interval.high))
    return {f"{name}_low": low, f"{name}_high": high}


def soh_range(soh: float) -> str:
    """Return the range of SOH that a check-up is in.

    Example:
        >>> soh_range(1.02), soh_range(0.85), soh_range(0.6)
        ('0.95 and above', '0.85 to 0.90', 'below 0.70')
    """
    above = bisect.bisect_right(SOH_EDGES, soh)
    if above == 0:
        return f"below {SOH_EDGES[0]:.2f}"
    if above == len(SOH_EDGES):
        return f"{SOH_EDGES[-1]:.2f} and above"
    return f"{SOH_EDGES[above - 1]:.2f} to {SOH_EDGES[above]:.2f}"
