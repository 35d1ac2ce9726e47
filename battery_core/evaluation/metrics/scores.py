"""Errors of predictions on test cells: per cell first, then over cells, then by condition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from battery_core.cell_errors import mean_over_cells
from battery_core.evaluation.baselines import BASELINES, leak_probe
from battery_core.evaluation.metrics.confidence import BELOW_ALL, SOH_EDGES, bounds, soh_range
from battery_core.evaluation.metrics.per_cell import (
    FIRST_CHECKUP,
    CellErrors,
    is_first_checkup,
    per_cell_errors,
    rows_to_score,
)
from battery_core.training.metrics import compute_metrics

Scores = dict[str, Any]
PRIMARY_METRIC = "mean_cell_mape"
NOT_STATED = "not stated"
PERCENTAGE_POINTS = 100.0


def evaluate_predictions(rows: pd.DataFrame, prediction: np.ndarray[Any, Any], reference: str = "nominal") -> Scores:
    """Return the errors of one model on the test rows.

    Args:
        rows: columns cell_id, checkup_index, soh, ambient_temperature_degC, group, and protocol where it is stated;
            N rows.
        prediction: SOH, shape (N,).
        reference: with ``first_checkup`` the first row of a cell is 1.0 by definition and is reported separately.

    Returns:
        ``mean_cell_mape`` (%), ``mean_cell_rmse`` and ``worst_cell_rmse`` (SOH points), the worst cell, the pooled
        metrics of all rows and of first check-ups, and tables per cell, temperature, protocol, group and range of SOH.
        Each mean over cells has a 95 % bootstrap interval, ``_low`` and ``_high``, None for a single cell. A prediction
        that is not finite makes every mean with its cell NaN, so the model cannot be promoted.

    Raises:
        DataError: no row is left to evaluate.
    """
    frame = rows.assign(prediction=np.asarray(prediction, dtype=float))
    first = frame[is_first_checkup(frame) if reference == FIRST_CHECKUP else frame["checkup_index"] == 0]
    frame = rows_to_score(frame, reference)
    errors = _errors(frame)
    cells = _per_cell(frame, errors)
    worst = cells.sort_values("rmse", ascending=False, na_position="first").iloc[0]
    return {
        PRIMARY_METRIC: errors.mean_mape,
        **bounds(PRIMARY_METRIC, cells["mape"]),
        "mean_cell_rmse": errors.mean_rmse * PERCENTAGE_POINTS,
        "worst_cell": str(worst["cell_id"]),
        "worst_cell_rmse": float(worst["rmse"]),
        "rows": _metrics(frame),
        "first_checkup": _metrics(first) if len(first) else None,
        "n_rows": len(frame),
        "n_cells": len(cells),
        "per_cell": cells.to_dict(orient="records"),
        "per_temperature": _over_cells(cells, "ambient_temperature_degC"),
        "per_group": _over_cells(cells, "group"),
        "per_protocol": _over_cells(cells, "protocol") if "protocol" in cells else [],
        "per_soh_range": _per_soh_range(frame),
    }


def evaluate_baselines(
    train: pd.DataFrame, test: pd.DataFrame, reference: str = "nominal"
) -> tuple[dict[str, Scores], Scores]:
    """Return the scores of every baseline, and those of the leak probe."""
    scores = {
        name: evaluate_predictions(test, baseline(train, test), reference) for name, baseline in BASELINES.items()
    }
    return scores, evaluate_predictions(test, leak_probe(train, test), reference)


def _metrics(frame: pd.DataFrame) -> dict[str, float]:
    measured, predicted = frame["soh"].to_numpy(dtype=float), frame["prediction"].to_numpy(dtype=float)
    return {name: float(value) for name, value in compute_metrics(measured, predicted).items()}


def _errors(frame: pd.DataFrame) -> CellErrors:
    return per_cell_errors(frame["cell_id"], frame["soh"], frame["prediction"])


def _per_cell(frame: pd.DataFrame, errors: CellErrors) -> pd.DataFrame:
    """Return condition and errors of each cell; rmse and bias in SOH points."""
    columns = [name for name in ("ambient_temperature_degC", "group", "protocol") if name in frame]
    condition = frame.groupby("cell_id", sort=True)[columns].first()
    table = errors.frame().set_index("cell_id")[["n", "mape", "bias", "rmse"]]
    table[["bias", "rmse"]] *= PERCENTAGE_POINTS
    return condition.join(table).reset_index()


def _over_cells(cells: pd.DataFrame, by: str) -> list[dict[str, Any]]:
    """Return the mean over the cells of each condition, with a line for cells without that condition.

    A cell without a finite error makes the means of its condition NaN; pandas would leave it out.
    """
    stated = cells[by].notna() & (cells[by] != "")
    table = cells.groupby(cells[by].astype(object).where(stated, NOT_STATED), sort=True)
    means = table.agg(
        n_cells=("cell_id", "size"),
        mape=("mape", mean_over_cells),
        rmse=("rmse", mean_over_cells),
        worst_rmse=("rmse", _worst),
    )
    lines: list[dict[str, Any]] = means.rename_axis(by).reset_index().to_dict(orient="records")  # type: ignore[assignment]
    return [line | bounds("mape", group["mape"]) for line, (_, group) in zip(lines, table, strict=True)]


def _per_soh_range(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the errors of the check-ups in each range of measured SOH, fresh cells first."""
    ranges = dict(iter(frame.groupby(frame["soh"].map(soh_range))))
    lines = []
    for name in map(soh_range, (*reversed(SOH_EDGES), BELOW_ALL)):
        if name in ranges:
            cells = _per_cell(ranges[name], _errors(ranges[name])).assign(soh_range=name)
            lines += [line | {"n_rows": len(ranges[name])} for line in _over_cells(cells, "soh_range")]
    return lines


def _worst(errors: pd.Series[float]) -> float:
    return float(errors.max(skipna=False))


def probe_verdict(best: Scores, probe: Scores) -> str:
    """Return a warning if the leak probe has a lower error than the best model; else an empty string."""
    if not probe[PRIMARY_METRIC] < best[PRIMARY_METRIC]:
        return ""
    return (
        f"the leak probe (fraction of life only) scores {probe[PRIMARY_METRIC]:.2f} %, better than the chosen model's "
        f"{best[PRIMARY_METRIC]:.2f} %: "
        "on these cells an error that was reached with information from a cell's end of life is meaningless"
    )
