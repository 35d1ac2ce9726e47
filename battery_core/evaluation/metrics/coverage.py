"""Whether intervals hold what they promise on cells no model has seen: per cell first, then over cells."""

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


def score_intervals(rows: pd.DataFrame, conformal: Mapping[str, Any], reference: str = "nominal") -> Scores:
    """How often and how tightly the intervals of one model hold the measured SOH of the test cells.

    Args:
        rows: columns cell_id, checkup_index, soh, prediction, in_distribution, outside, soh_spread,
            ambient_temperature_degC, group; N rows.
        conformal: what calibrated the intervals, as ``Conformal.to_json`` gives it.
        reference: with ``first_checkup`` a cell's first row is 1.0 by definition and counts nowhere.

    Returns:
        ``coverage``: mean over cells of the share of a cell's check-ups inside, with a bootstrap interval over cells
        and the worst cell; ``width`` from end to end in SOH points; the same per temperature, group and cell;
        ``calibration``: observed against nominal coverage; what was told as out of distribution, and by which
        columns; the spread of an ensemble beside its error. A prediction that is not finite holds nothing.

    Raises:
        DataError: no row counts.
    """
    served = Conformal.from_json(conformal)
    rows = rows_to_score(rows, reference)
    cells = _per_cell(rows, served, served.coverage)
    over = interval_over_cells(cells["coverage"])
    worst = cells.sort_values("coverage").iloc[0]
    return {
        "nominal": served.coverage,
        "guaranteed": served.guaranteed,
        "calibration_cells": served.n_cells,
        "correction": served.correction,
        "coverage": over.mean,
        "coverage_low": over.low,
        "coverage_high": over.high,
        "worst_cell": str(worst["cell_id"]),
        "worst_cell_coverage": float(worst["coverage"]),
        "width": float(cells["width"].mean()),
        "per_temperature": _over_cells(cells, "ambient_temperature_degC"),
        "per_group": _over_cells(cells, "group"),
        "per_cell": cells.to_dict(orient="records"),
        "calibration": [_at(rows, served, level) for level in served.quantiles],
        "out_of_distribution": _told(rows),
        "spread": _spread(rows),
    }


def _per_cell(rows: pd.DataFrame, conformal: Conformal, level: float) -> pd.DataFrame:
    lower, upper = conformal.bounds(rows["prediction"], level)
    inside = (rows["soh"] >= lower) & (rows["soh"] <= upper)
    parts = rows.assign(inside=inside, width=(upper - lower) * PERCENTAGE_POINTS, known=rows["in_distribution"])
    condition = {name: (name, "first") for name in ("ambient_temperature_degC", "group")}
    means = {
        "n": ("soh", "size"),
        "coverage": ("inside", "mean"),
        "width": ("width", "mean"),
        "known": ("known", "mean"),
    }
    return pd.DataFrame(parts.groupby("cell_id", sort=True).agg(**condition, **means).reset_index())


def _over_cells(cells: pd.DataFrame, by: str) -> list[dict[str, Any]]:
    table = cells.groupby(cells[by].astype(object).where(cells[by].notna(), NOT_STATED), sort=True)
    means = table.agg(n_cells=("cell_id", "size"), coverage=("coverage", "mean"), width=("width", "mean"))
    return means.rename_axis(by).reset_index().to_dict(orient="records")  # type: ignore[return-value]


def _at(rows: pd.DataFrame, conformal: Conformal, level: float) -> dict[str, float]:
    cells = _per_cell(rows, conformal, level)
    return {"nominal": level, "coverage": float(cells["coverage"].mean()), "width": float(cells["width"].mean())}


def _told(rows: pd.DataFrame) -> Scores:
    """Share of check-ups told as out of distribution, and the columns that were furthest outside."""
    outside = rows.loc[~rows["in_distribution"], "outside"].value_counts()
    return {"share": float((~rows["in_distribution"]).mean()), "columns": {str(k): int(n) for k, n in outside.items()}}


def _spread(rows: pd.DataFrame) -> Scores | None:
    """Mean spread over an ensemble's members, in SOH points, and its rank correlation with the error."""
    if rows["soh_spread"].isna().all():
        return None
    error = (rows["soh"] - rows["prediction"]).abs()
    rank = float(np.corrcoef(error.rank(), rows["soh_spread"].rank())[0, 1])
    return {"mean": float(rows["soh_spread"].mean() * PERCENTAGE_POINTS), "rank_correlation_with_error": rank}
