"""Forecast the remaining useful life of every cell from its usage, SOH estimates and reference cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from battery_core.forecasting.remaining_life import ReferenceCell, forecast_rul

if TYPE_CHECKING:
    from battery_core.evaluation.settings import ScoreSettings

EFC, CYCLES = "equivalent full cycles", "cycles"


def with_usage(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return rows with the column ``usage`` and its unit: full cycles where throughput is measured, else cycles."""
    if rows["throughput_Ah"].notna().all():
        return rows.assign(usage=rows["throughput_Ah"].abs() / (2 * rows["nominal_capacity_Ah"])), EFC
    counted = rows["cycle_count"] if rows["cycle_count"].notna().all() else rows["checkup_index"]
    return rows.assign(usage=counted.astype(float)), CYCLES


def reference_cells(rows: pd.DataFrame) -> list[ReferenceCell]:
    """Return the measured history of each cell, by usage; rows with the columns usage and soh."""
    cells = []
    for cell_id, history in rows.groupby("cell_id", sort=True):
        group, temperature = history["group"].iloc[0], history["ambient_temperature_degC"].iloc[0]
        conditions = (f"{group} at {temperature:g} degC", str(group)) if temperature == temperature else (str(group),)
        usage, soh = history["usage"].to_numpy(float), history["soh"].to_numpy(float)
        cells.append(ReferenceCell(str(cell_id), conditions, usage, soh))
    return cells


def forecast_cells(rows: pd.DataFrame, settings: ScoreSettings) -> pd.DataFrame:
    """Return the remaining useful life of each cell at its newest check-up; the other cells are its reference cells.

    Args:
        rows: columns usage, soh, and prediction, soh_lower, soh_upper of the champion.
        settings: end of life, coverage of the interval.

    Returns:
        A row a cell: ``rul``, ``rul_low``, ``rul_high`` in units of usage, ``rul_checkups...`` in check-ups at the
        rate of the last ten, ``forecast_basis`` and the number of reference cells ``forecast_cells``.
    """
    cells = reference_cells(rows)
    lines = []
    for cell, (_, history) in zip(cells, rows.groupby("cell_id", sort=True), strict=True):
        others = [other for other in cells if other.cell_id != cell.cell_id]
        result = forecast_rul(
            cell.usage, history["prediction"], settings.end_of_life, others, cell.conditions,
            _half_width(history.iloc[-1]), settings.forecast_coverage,
        )  # fmt: skip
        step = float(np.median(np.diff(cell.usage[-11:]))) if len(cell.usage) > 1 else np.nan
        line = {"cell_id": cell.cell_id, "checkup_index": history["checkup_index"].iloc[-1]}
        for suffix, value in (("", result.rul), ("_low", result.low), ("_high", result.high)):
            line |= {f"rul{suffix}": value, f"rul_checkups{suffix}": value / step if step > 0 else np.nan}
        lines.append(line | {"forecast_basis": result.basis, "forecast_cells": result.n_reference_cells})
    return pd.DataFrame(lines)


def _half_width(newest: Any) -> float:
    """Return half the width of the model's interval at a check-up; 0 for a model without intervals."""
    width = float(newest["soh_upper"] - newest["soh_lower"])
    return width / 2 if np.isfinite(width) else 0.0
