"""Figures of predictions on test cells: parity, residuals, fade of single cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from battery_core.reporting.figures.style import (
    GRID,
    MEASURED,
    PREDICTED,
    Colour,
    group_colours,
    save_figure,
    temperature_colours,
)
from battery_core.reporting.formats import temperature


def draw_parity(rows: pd.DataFrame, title: str, file: Path, truth: str = "measured") -> Path:
    """Draw predicted against measured SOH of the test cells, coloured by temperature (by group where it is constant).

    Args:
        rows: columns cell_id, soh, prediction, ambient_temperature_degC, group.
        title: of the figure, such as "lgbm on simulated LG M50T".
        file: PNG to write.
        truth: kind of the reference SOH: "measured" or "simulated".
    """
    rows = _finite(rows)
    figure = Figure(figsize=(5.6, 5.6), layout="constrained")
    axes = figure.subplots()
    low = float(min(rows["soh"].min(), rows["prediction"].min())) - 0.01
    high = float(max(rows["soh"].max(), rows["prediction"].max())) + 0.01
    ends = np.array([low, high])
    axes.fill_between(ends, 0.98 * ends, 1.02 * ends, color="0.93", lw=0, label="±2 %")
    axes.plot([low, high], [low, high], color="0.5", lw=0.8)
    size = 14 if len(rows) < 2000 else 3
    for name, colour, of_condition in _conditions(rows):
        axes.scatter(
            of_condition["soh"], of_condition["prediction"], s=size, alpha=0.7, color=colour, linewidths=0, label=name
        )
    axes.set(xlabel=f"{truth} SOH", ylabel="predicted SOH", xlim=(low, high), ylim=(low, high))
    axes.set_aspect("equal")
    axes.legend(frameon=False, fontsize=8, loc="upper left", markerscale=8 / size**0.5)
    return save_figure(figure, title, file)


def draw_residuals(rows: pd.DataFrame, title: str, file: Path, truth: str = "measured") -> Path:
    """Draw prediction errors over the life of the test cells, with their median and the middle 80 %.

    Args:
        rows: columns cell_id, soh, prediction, ambient_temperature_degC, group.
        title: of the figure.
        file: PNG to write.
        truth: kind of the reference SOH: "measured" or "simulated".
    """
    rows = _finite(rows)
    rows = rows.assign(error=(rows["prediction"] - rows["soh"]) * 100)
    figure = Figure(figsize=(5.6, 5.6), layout="constrained")
    axes = figure.subplots()
    size = 14 if len(rows) < 2000 else 3
    for name, colour, of_condition in _conditions(rows):
        axes.scatter(
            of_condition["soh"], of_condition["error"], s=size, alpha=0.6, color=colour, linewidths=0, label=name
        )
    axes.axhline(0.0, color="0.4", lw=0.8)
    along = rows.dropna(subset="error").groupby(rows["soh"].div(0.02).round() * 0.02)["error"]
    if len(band := along.quantile(np.array([0.1, 0.5, 0.9])).unstack()[along.size() >= 5]):
        axes.fill_between(band.index, band[0.1], band[0.9], color="0.4", alpha=0.2, lw=0, label="middle 80 %")
        axes.plot(band.index, band[0.5], color="0.1", lw=1.4, label="median")
    axes.invert_xaxis()  # a cell's life goes from left to right
    axes.set(xlabel=f"{truth} SOH (fresh on the left)", ylabel=f"predicted - {truth}, SOH points")
    axes.grid(color=GRID)
    axes.legend(frameon=False, fontsize=8, markerscale=8 / size**0.5, ncols=2)
    return save_figure(figure, title, file)


def draw_fade(rows: pd.DataFrame, order: list[str], title: str, file: Path, truth: str = "measured") -> Path:
    """Draw SOH over check-ups, measured and predicted, of the best, the middle and the worst test cell.

    Args:
        rows: columns cell_id, checkup_index, soh, prediction.
        order: test cells from best to worst.
        title: of the figure.
        file: PNG to write.
        truth: kind of the reference SOH: "measured" or "simulated".
    """
    rows = _finite(rows)
    chosen = {"best": order[0], "middle": order[len(order) // 2], "worst": order[-1]}
    figure = Figure(figsize=(10.0, 3.4), layout="constrained")
    panels: np.ndarray[Any, Any] = figure.subplots(1, len(chosen), sharey=True)
    for axes, (rank, cell) in zip(panels, chosen.items(), strict=True):
        _draw_cell(axes, rows[rows["cell_id"] == cell].sort_values("checkup_index"), truth)
        axes.set_title(f"{rank}: {cell}", fontsize=9)
    panels[0].set_ylabel("SOH")
    panels[0].legend(frameon=False, fontsize=8)
    return save_figure(figure, title, file)


def _finite(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with NaN for infinite predictions, which have no position in a figure."""
    return rows.assign(prediction=rows["prediction"].where(np.isfinite(rows["prediction"])))


def _draw_cell(axes: Axes, cell: pd.DataFrame, truth: str) -> None:
    marker = "" if len(cell) > 60 else "o"
    axes.plot(
        cell["checkup_index"], cell["soh"], color=MEASURED, marker=marker, markersize=3, linewidth=0.8, label=truth
    )
    axes.plot(cell["checkup_index"], cell["prediction"], color=PREDICTED, linewidth=1.4, label="predicted")
    axes.set_xlabel("check-up")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=GRID)


def _conditions(rows: pd.DataFrame) -> list[tuple[str, Colour, pd.DataFrame]]:
    """Return name, colour and rows of each temperature; of each group where the temperature is constant."""
    temperatures = rows["ambient_temperature_degC"]
    if temperatures.nunique() > 1:
        colours, by = temperature_colours(temperatures), temperatures.map(temperature)
    else:
        colours, by = group_colours(sorted({str(group) for group in rows["group"]})), rows["group"].astype(str)
    return [(name, colour, rows[by == name]) for name, colour in colours.items()]
