"""Regression metrics of SOH estimates; needs numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from battery_core.cell_errors import relative_errors
from battery_core.errors import DataError


def compute_metrics(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> dict[str, float]:
    """Compute the metrics of an estimate over all rows and targets; rows without a label (NaN) are left out.

    Args:
        y_true: measured SOH as a fraction, any shape.
        y_pred: estimated SOH, same number of values.

    Returns:
        ``rmse`` and ``mae`` in the unit of the target, ``mape`` in percent (targets of exactly 0 are left out of it),
        ``r2`` without unit (NaN when all targets are equal).

    Raises:
        DataError: the sizes differ, or there is no labelled row.

    Example:
        >>> m = compute_metrics([0.95, 0.90, 0.85], [0.94, 0.91, 0.86])
        >>> {name: round(value, 4) for name, value in m.items()}
        {'rmse': 0.01, 'mae': 0.01, 'mape': 1.1134, 'r2': 0.94}
    """
    true, pred = (np.asarray(values, dtype=np.float64).reshape(-1) for values in (y_true, y_pred))
    if len(true) != len(pred):
        raise DataError(f"metrics: y_true has {len(true)} values, y_pred {len(pred)}: give one estimate per label")
    labelled = ~np.isnan(true)
    true, pred = true[labelled], pred[labelled]
    if len(true) == 0:
        raise DataError(f"metrics: none of the {len(labelled)} rows has a label - is the split empty?")
    error = pred - true
    spread = float(np.sum((true - true.mean()) ** 2))
    some = true != 0
    return {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "mape": float(100 * np.mean(relative_errors(true[some], pred[some]))) if some.any() else float("nan"),
        "r2": 1.0 - float(np.sum(error**2)) / spread if spread > 0 else float("nan"),
    }


def print_metrics(metrics: dict[str, Any]) -> None:
    """Print the metrics one a line.

    Example:
        >>> print_metrics(compute_metrics([0.95, 0.90, 0.85], [0.94, 0.91, 0.86]))
        RMSE: 0.0100
        MAE:  0.0100
        MAPE: 1.11%
        R²:   0.9400
    """
    print(f"RMSE: {metrics['rmse']:.4f}")
    print(f"MAE:  {metrics['mae']:.4f}")
    print(f"MAPE: {metrics['mape']:.2f}%")
    print(f"R²:   {metrics['r2']:.4f}")
