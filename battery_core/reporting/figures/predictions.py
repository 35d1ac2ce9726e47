"""Plots of a report: measured against predicted, and how the cells fade."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # without pyplot: no screen is needed
from matplotlib.ticker import MaxNLocator

_DPI = 110
_TRUTH = {"color": "0.25", "marker": "o", "markersize": 3, "linewidth": 0.8}
_PREDICTED = {"color": "tab:red", "linewidth": 1.4, "label": "predicted"}


def parity(rows: pd.DataFrame, title: str, file: Path, truth: str = "measured") -> Path:
    """Predicted against measured SOH of the test cells, coloured by temperature (by group where it is one).

    Args:
        rows: columns cell_id, soh, prediction, ambient_temperature_degC, group.
        title: what is shown, such as "lgbm on simulated LG M50T".
        file: PNG to write.
        truth: what the SOH is: measured, or simulated.
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
    for colour, (name, part) in zip(_colours(rows), _conditions(rows), strict=False):
        axes.scatter(part["soh"], part["prediction"], s=size, alpha=0.7, color=colour, linewidths=0, label=name)
    axes.set(xlabel=f"{truth} SOH", ylabel="predicted SOH", xlim=(low, high), ylim=(low, high))
    axes.set_title("\n".join(textwrap.wrap(title, 60)), fontsize=10)
    axes.set_aspect("equal")
    axes.legend(frameon=False, fontsize=8, loc="upper left", markerscale=8 / size**0.5)
    return _save(figure, file)


def residuals(rows: pd.DataFrame, title: str, file: Path, truth: str = "measured") -> Path:
    """How far predictions are off along the life of the test cells, with the median and where 80 % of them are.

    Args:
        rows: columns cell_id, soh, prediction, ambient_temperature_degC, group.
        title: what is shown.
        file: PNG to write.
        truth: what the SOH is: measured, or simulated.
    """
    rows = _finite(rows)
    rows = rows.assign(error=(rows["prediction"] - rows["soh"]) * 100)
    figure = Figure(figsize=(5.6, 5.6), layout="constrained")
    axes = figure.subplots()
    size = 14 if len(rows) < 2000 else 3
    for colour, (name, part) in zip(_colours(rows), _conditions(rows), strict=False):
        axes.scatter(part["soh"], part["error"], s=size, alpha=0.6, color=colour, linewidths=0, label=name)
    axes.axhline(0.0, color="0.4", lw=0.8)
    along = rows.dropna(subset="error").groupby(rows["soh"].div(0.02).round() * 0.02)["error"]
    if len(band := along.quantile(np.array([0.1, 0.5, 0.9])).unstack()[along.size() >= 5]):
        axes.fill_between(band.index, band[0.1], band[0.9], color="0.4", alpha=0.2, lw=0, label="80 % of them")
        axes.plot(band.index, band[0.5], color="0.1", lw=1.4, label="median")
    axes.invert_xaxis()  # a cell's life goes from left to right
    axes.set(xlabel=f"{truth} SOH (fresh on the left)", ylabel=f"predicted - {truth}, SOH points")
    axes.set_title("\n".join(textwrap.wrap(title, 60)), fontsize=10)
    axes.grid(color="0.94")
    axes.legend(frameon=False, fontsize=8, markerscale=8 / size**0.5, ncols=2)
    return _save(figure, file)


def fade(rows: pd.DataFrame, order: list[str], title: str, file: Path, truth: str = "measured") -> Path:
    """SOH over check-ups, measured and predicted, of the best, the middle and the worst test cell.

    Args:
        rows: columns cell_id, checkup_index, soh, prediction.
        order: test cells from best to worst.
        title: what is shown.
        file: PNG to write.
        truth: what the SOH is: measured, or simulated.
    """
    rows = _finite(rows)
    chosen = {"best": order[0], "middle": order[len(order) // 2], "worst": order[-1]}
    figure = Figure(figsize=(10.0, 3.4), layout="constrained")
    panels: np.ndarray[Any, Any] = figure.subplots(1, len(chosen), sharey=True)
    for axes, (which, cell) in zip(panels, chosen.items(), strict=True):
        _one_cell(axes, rows[rows["cell_id"] == cell].sort_values("checkup_index"), truth)
        axes.set_title(f"{which}: {cell}", fontsize=9)
    panels[0].set_ylabel("SOH")
    panels[0].legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=10)
    return _save(figure, file)


def _finite(rows: pd.DataFrame) -> pd.DataFrame:
    """A prediction that is not finite has no place in a plot; the report says that it is there."""
    return rows.assign(prediction=rows["prediction"].where(np.isfinite(rows["prediction"])))


def _one_cell(axes: Axes, cell: pd.DataFrame, truth: str) -> None:
    dense = len(cell) > 60
    axes.plot(cell["checkup_index"], cell["soh"], label=truth, **(_TRUTH | ({"marker": ""} if dense else {})))  # type: ignore[arg-type]
    axes.plot(cell["checkup_index"], cell["prediction"], **_PREDICTED)  # type: ignore[arg-type]
    axes.set_xlabel("check-up")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="0.92")


def _conditions(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    temperatures = rows["ambient_temperature_degC"]
    if temperatures.nunique() > 1:
        return [(f"{value:g} °C", part) for value, part in rows.groupby(temperatures)]
    return [(str(value), part) for value, part in rows.groupby("group")]


def _colours(rows: pd.DataFrame) -> list[Any]:
    temperatures = rows["ambient_temperature_degC"].nunique()
    if temperatures > 1:
        return list(colormaps["plasma"](np.linspace(0.05, 0.85, temperatures)))
    return list(colormaps["tab10"](range(rows["group"].nunique())))


def _save(figure: Figure, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=_DPI)
    return file
