"""Cross-validation: errors and coverage on the cells that each fold held out, and their summary by model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from battery_core.evaluation.metrics.bootstrap import interval_over_cells
from battery_core.evaluation.metrics.per_cell import per_cell_errors
from battery_core.evaluation.metrics.scores import PERCENTAGE_POINTS


def score_cells(rows: pd.DataFrame) -> pd.DataFrame:
    """Return MAPE (%), coverage and interval width (SOH points) of each cell.

    A prediction that is not finite makes the error of its cell infinite, and is not covered.

    Args:
        rows: columns cell_id, soh, prediction, and soh_lower and soh_upper where the model gives intervals.

    Example:
        >>> rows = pd.DataFrame({"cell_id": ["A", "A"], "soh": [1.0, 0.8], "prediction": [0.99, 0.81]})
        >>> rows = rows.assign(soh_lower=0.98, soh_upper=1.02)
        >>> score_cells(rows).round(3).to_dict("records")
        [{'cell_id': 'A', 'mape': 1.125, 'coverage': 0.5, 'width': 4.0}]
    """
    errors = per_cell_errors(rows["cell_id"], rows["soh"], rows["prediction"]).as_worst().frame()
    if "soh_lower" in rows:
        inside = ((rows["soh"] >= rows["soh_lower"]) & (rows["soh"] <= rows["soh_upper"])).astype(float)
        width = (rows["soh_upper"] - rows["soh_lower"]) * PERCENTAGE_POINTS
        means = pd.DataFrame({"coverage": inside, "width": width}).groupby(rows["cell_id"]).mean()
        errors = errors.join(means, on="cell_id")
    return errors.reindex(columns=["cell_id", "mape", "coverage", "width"])


def compare_models(errors: pd.DataFrame) -> list[dict[str, Any]]:
    """Return mean per-cell MAPE, its spread, and the coverage of each model; the best model first.

    Args:
        errors: columns model, seed, fold, cell_id, mape, coverage, width: a line for each model, seed and held-out
            cell; coverage and width are NaN where a model gives no intervals.
    """
    lines = []
    for name, of_model in errors.groupby("model"):
        by_cell = of_model.groupby("cell_id")
        cells, coverage = by_cell["mape"].mean(), by_cell["coverage"].mean()
        over = interval_over_cells(coverage) if coverage.notna().all() else None
        seeds, by_fold = of_model.groupby("seed")["mape"].mean(), of_model.groupby("fold")["mape"].mean()
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
    """Return the standard deviation; None for a single value, and where one is not finite."""
    return float(values.std()) if len(values) > 1 and np.isfinite(values).all() else None
