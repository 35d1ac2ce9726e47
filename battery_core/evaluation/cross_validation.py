"""Cross-validation in figures: errors of cells that each fold held out, what intervals hold there, who is better."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from battery_core.evaluation.metrics.bootstrap import interval_over_cells
from battery_core.evaluation.metrics.per_cell import per_cell_errors
from battery_core.evaluation.metrics.scores import PERCENTAGE_POINTS


def judged(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each cell its MAPE, %, the share of check-ups that the intervals hold, and their width in SOH points.

    A prediction that is not finite makes the cell's error infinite, and holds nothing.

    Args:
        rows: columns cell_id, soh, prediction, and soh_lower and soh_upper where the model gives intervals.

    Example:
        >>> rows = pd.DataFrame({"cell_id": ["A", "A"], "soh": [1.0, 0.8], "prediction": [0.99, 0.81]})
        >>> rows = rows.assign(soh_lower=0.98, soh_upper=1.02)
        >>> judged(rows).round(3).to_dict("records")
        [{'cell_id': 'A', 'mape': 1.125, 'coverage': 0.5, 'width': 4.0}]
    """
    errors = per_cell_errors(rows["cell_id"], rows["soh"], rows["prediction"]).as_worst().frame()
    if "soh_lower" in rows:
        inside = ((rows["soh"] >= rows["soh_lower"]) & (rows["soh"] <= rows["soh_upper"])).astype(float)
        width = (rows["soh_upper"] - rows["soh_lower"]) * PERCENTAGE_POINTS
        means = pd.DataFrame({"coverage": inside, "width": width}).groupby(rows["cell_id"]).mean()
        errors = errors.join(means, on="cell_id")
    return errors.reindex(columns=["cell_id", "mape", "coverage", "width"])


def compare(errors: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean per-cell MAPE of each model, how it spreads, and the share of check-ups its intervals hold; the best first.

    Args:
        errors: columns model, seed, fold, cell_id, mape, coverage, width: a line for each model, seed and held-out
            cell; coverage and width are NaN where a model gives no intervals.
    """
    lines = []
    for name, part in errors.groupby("model"):
        by_cell = part.groupby("cell_id")
        cells, held = by_cell["mape"].mean(), by_cell["coverage"].mean()
        over = interval_over_cells(held) if held.notna().all() else None
        seeds, by_fold = part.groupby("seed")["mape"].mean(), part.groupby("fold")["mape"].mean()
        lines.append(
            {
                "model": str(name),
                "mean": float(cells.mean()),
                "seed_spread": _std(seeds),
                "fold_spread": _std(by_fold),
                "worst_cell": str(cells.idxmax()),
                "worst": float(cells.max()),
                "coverage": over.mean if over else None,
                "coverage_low": over.low if over else None,
                "coverage_high": over.high if over else None,
                "width": float(by_cell["width"].mean().mean()) if over else None,
            }
        )
    return sorted(lines, key=lambda line: float(line["mean"]))


def _std(values: pd.Series[float]) -> float | None:
    """None for a single value, and where one is not finite."""
    return float(values.std()) if len(values) > 1 and np.isfinite(values).all() else None
