"""Coverage and width of prediction intervals on test cells: per cell first, then over cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from battery_core.evaluation.metrics.bootstrap import interval_over_cells
from battery_core.evaluation.metrics.per_cell import rows_to_score
from battery_core.evaluation.metrics.scores import NOT_STATED, PERCENTAGE_POINTS
from battery_core.uncertainty.conformal import Conformal

Scores = dict[str, Any]


def evaluate_intervals(rows: pd.DataFrame, conformal: Mapping[str, Any], reference: str = "nominal") -> Scores:
    """Return coverage and width of the intervals of one model on the test cells.

    Args:
        rows: columns cell_id, checkup_index, soh, prediction, in_distribution, outside, soh_spread,
            ambient_temperature_degC, group; N rows.
        conformal: calibration of the intervals, as ``Conformal.to_json`` returns it.
        reference: with ``first_checkup`` the first row of a cell is 1.0 by definition and is not used.

    Returns:
        ``coverage``: mean over cells of the share of a cell's check-ups inside, with a bootstrap interval over cells
        and the worst cell; ``width`` from end to end in SOH points; the same per temperature, group and cell;
        ``calibration``: obintervals against nominal coverage; the share of check-ups out of distribution and their
        columns; the spread of an ensemble and its correlation with the error. A prediction that is not finite is
        not covered.

    Raises:
        DataError: no row is left to evaluate.
    """
    intervals = Conformal.from_json(conformal)
    rows = rows_to_score(rows, reference)
    cells = _per_cell(rows, intervals, intervals.coverage)
    over = interval_over_cells(cells["coverage"])
    worst = cells.sort_values("coverage").iloc[0]
    return {
        "nominal": intervals.coverage,
        "guaranteed": intervals.guaranteed,
        "calibration_cells": intervals.n_cells,
        "calibration_correction": intervals.calibration_correction,
        "coverage": over.mean,
        "coverage_low": over.low,
        "coverage_high": over.high,
        "worst_cell": str(worst["cell_id"]),
        "worst_cell_coverage": float(worst["coverage"]),
        "width": float(cells["width"].mean()),
        "per_temperature": _over_cells(cells, "ambient_temperature_degC"),
        "per_group": _over_cells(cells, "group"),
        "per_cell": cells.to_dict(orient="records"),
        "calibration": [_at(rows, intervals, level) for level in intervals.quantiles],
        "out_of_distribution": _out_of_distribution(rows),
        "spread": _spread(rows),
    }


def _per_cell(rows: pd.DataFrame, conformal: Conformal, level: float) -> pd.DataFrame:
    lower, upper = conformal.bounds(rows["prediction"], level)
    inside = (rows["soh"] >= lower) & (rows["soh"] <= upper)
    rows = rows.assign(inside=inside, width=(upper - lower) * PERCENTAGE_POINTS)
    condition = {name: (name, "first") for name in ("ambient_temperature_degC", "group")}
    means = {
        "n": ("soh", "size"),
        "coverage": ("inside", "mean"),
        "width": ("width", "mean"),
        "in_distribution": ("in_distribution", "mean"),
    }
    return pd.DataFrame(rows.groupby("cell_id", sort=True).agg(**condition, **means).reset_index())


def _over_cells(cells: pd.DataFrame, by: str) -> list[dict[str, Any]]:
    table = cells.groupby(cells[by].astype(object).where(cells[by].notna(), NOT_STATED), sort=True)
    means = table.agg(n_cells=("cell_id", "size"), coverage=("coverage", "mean"), width=("width", "mean"))
    return means.rename_axis(by).reset_index().to_dict(orient="records")  # type: ignore[return-value]


def _at(rows: pd.DataFrame, conformal: Conformal, level: float) -> dict[str, float]:
    cells = _per_cell(rows, conformal, level)
    return {"nominal": level, "coverage": float(cells["coverage"].mean()), "width": float(cells["width"].mean())}


def _out_of_distribution(rows: pd.DataFrame) -> Scores:
    """Return the share of check-ups out of distribution, and their columns by count."""
    outside = rows.loc[~rows["in_distribution"], "outside"].value_counts()
    return {"share": float((~rows["in_distribution"]).mean()), "columns": {str(k): int(n) for k, n in outside.items()}}


def _spread(rows: pd.DataFrame) -> Scores | None:
    """Return the mean spread of the ensemble members, SOH points, and its rank correlation with the error."""
    if rows["soh_spread"].isna().all():
        return None
    error = (rows["soh"] - rows["prediction"]).abs()
    rank = float(np.corrcoef(error.rank(), rows["soh_spread"].rank())[0, 1])
    return {"mean": float(rows["soh_spread"].mean() * PERCENTAGE_POINTS), "rank_correlation_with_error": rank}
