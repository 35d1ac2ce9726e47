"""Aggregate errors of a benchmark: mean over cells, then mean and spread over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from battery_core.evaluation.metrics.per_cell import per_cell_errors

_POINTS = 100.0  # SOH of 1 is 100 points


def errors_by_cell(rows: pd.DataFrame, prediction: Any) -> pd.DataFrame:
    """Return MAPE (%) and RMSE (SOH points) of each cell; a prediction that is not finite makes both infinite.

    Args:
        rows: columns cell_id, group, soh; N rows.
        prediction: SOH, shape (N,).

    Example:
        >>> rows = pd.DataFrame({"cell_id": ["A", "A"], "group": "g", "soh": [1.0, 0.8]})
        >>> errors_by_cell(rows, [0.99, 0.81]).round(3).to_dict("records")
        [{'cell_id': 'A', 'group': 'g', 'mape': 1.125, 'rmse': 1.0}]
    """
    errors = per_cell_errors(rows["cell_id"], rows["soh"], prediction).as_worst().frame()
    group = rows.drop_duplicates("cell_id").set_index("cell_id")["group"]
    errors = errors.assign(group=errors["cell_id"].map(group), rmse=errors["rmse"] * _POINTS)
    return errors[["cell_id", "group", "mape", "rmse"]]


def aggregate(errors: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one line a model, the best first.

    Args:
        errors: columns model, seed, cell_id, group, mape, rmse: a line for each model, seed and test cell.

    Returns:
        For each model ``mape`` and ``rmse``: mean over seeds of the mean over cells, spread (standard deviation over
        seeds, None for one seed) and the value of each seed; the same MAPE for each group; and the cell that is worst
        on average.
    """
    lines = []
    for name, of_model in errors.groupby("model", sort=False):
        cells = of_model.groupby("cell_id")["mape"].mean()
        groups = of_model.groupby(["group", "seed"])["mape"].mean()
        lines.append(
            {
                "model": str(name),
                "mape": mean_over_seeds(of_model.groupby("seed")["mape"].mean()),
                "rmse": mean_over_seeds(of_model.groupby("seed")["rmse"].mean()),
                "worst_cell": str(cells.idxmax()),
                "worst_mape": float(cells.max()),
                "groups": {str(group): mean_over_seeds(groups[group]) for group in sorted(set(of_model["group"]))},
            }
        )
    return sorted(lines, key=lambda line: float(line["mape"]["mean"]))


def mean_over_seeds(figures: pd.Series[float]) -> dict[str, Any]:
    """Return mean and standard deviation of one value a seed.

    Example:
        >>> mean_over_seeds(pd.Series([0.5, 0.7], index=[0, 1]))
        {'mean': 0.6, 'sd': 0.1414, 'seeds': {'0': 0.5, '1': 0.7}}
    """
    finite = bool(np.isfinite(figures).all())
    return {
        "mean": round(float(figures.mean()), 4) if finite else float("inf"),
        "sd": round(float(figures.std()), 4) if finite and len(figures) > 1 else None,
        "seeds": {str(seed): round(float(value), 4) for seed, value in figures.items()},
    }


def is_goal_met(line: Mapping[str, Any], goal: float) -> bool:
    """Return whether the mean over seeds of a model reaches a goal (MAPE, %)."""
    return float(line["mape"]["mean"]) <= goal
