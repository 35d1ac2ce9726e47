"""How much use every cell has left: its measured past and what the model in service says, carried on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from battery_core.forecasting.remaining_life import ReferenceCell, forecast

if TYPE_CHECKING:
    from battery_core.evaluation.settings import ScoreSettings

EFC, CYCLES = "equivalent full cycles", "cycles"


def with_use(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Rows with the column ``use`` and its unit: equivalent full cycles where throughput is measured, else cycles."""
    if rows["throughput_Ah"].notna().all():
        return rows.assign(use=rows["throughput_Ah"].abs() / (2 * rows["nominal_capacity_Ah"])), EFC
    counted = rows["cycle_count"] if rows["cycle_count"].notna().all() else rows["checkup_index"]
    return rows.assign(use=counted.astype(float)), CYCLES


def histories(rows: pd.DataFrame) -> list[ReferenceCell]:
    """What was measured of each cell, in the order of its use; rows with columns use and soh."""
    found = []
    for cell_id, part in rows.groupby("cell_id", sort=True):
        group, temperature = part["group"].iloc[0], part["ambient_temperature_degC"].iloc[0]
        conditions = (f"{group} at {temperature:g} degC", str(group)) if temperature == temperature else (str(group),)
        found.append(ReferenceCell(str(cell_id), conditions, part["use"].to_numpy(float), part["soh"].to_numpy(float)))
    return found


def forecasts(rows: pd.DataFrame, given: ScoreSettings) -> pd.DataFrame:
    """Use and check-ups left at the newest check-up of each cell; other cells' measured lives correct it.

    Args:
        rows: with columns use, soh, and prediction, soh_lower, soh_upper of the model in service.
        given: end of life, coverage of the interval.
    """
    past = histories(rows)
    found = []
    for cell, (_, part) in zip(past, rows.groupby("cell_id", sort=True), strict=True):
        others = [other for other in past if other.cell_id != cell.cell_id]
        left = forecast(
            cell.use, part["prediction"], given.end_of_life, others, cell.conditions,
            _half_width(part.iloc[-1]), given.forecast_coverage,
        )  # fmt: skip
        step = float(np.median(np.diff(cell.use[-11:]))) if len(cell.use) > 1 else np.nan
        line = {"cell_id": cell.cell_id, "checkup_index": part["checkup_index"].iloc[-1]}
        for name, value in (("", left.left), ("_low", left.low), ("_high", left.high)):
            line |= {f"use_left{name}": value, f"checkups_left{name}": value / step if step > 0 else np.nan}
        found.append(line | {"forecast_basis": left.basis, "forecast_cells": left.n_like_it})
    return pd.DataFrame(found)


def _half_width(newest: Any) -> float:
    """Half the width of the model's interval at a check-up; 0 for a model without intervals."""
    width = float(newest["soh_upper"] - newest["soh_lower"])
    return width / 2 if np.isfinite(width) else 0.0
