"""Figure of a scoring run: fade of each cell, its present SOH, and the forecast of its end of life."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from battery_core.reporting.figures.style import BLUE, GRID, MEASURED, PREDICTED, save_figure
from battery_core.reporting.tables.scoring import most_urgent_cells

_MAX_COLUMNS = 4
_MAX_POINTS = 400


def draw_scores(rows: pd.DataFrame, scores: pd.DataFrame, summary: Mapping[str, Any], file: Path) -> Path:
    """Draw a panel for each of the most urgent cells: SOH predicted and measured over usage, interval and forecast.

    Args:
        rows: columns cell_id, usage, soh, prediction, soh_lower, soh_upper.
        scores: columns cell_id, usage, soh, at_end_of_life, rul, rul_low, rul_high, usage_unit.
        summary: label, model, simulated and end_of_life of the scoring run.
        file: PNG to write.
    """
    cells, end_of_life = most_urgent_cells(scores), float(summary["end_of_life"])
    across, down = min(_MAX_COLUMNS, len(cells)), math.ceil(len(cells) / _MAX_COLUMNS)
    figure = Figure(figsize=(max(2.9 * across, 4.0), 2.3 * down + 0.9), layout="constrained")
    panels: Any = figure.subplots(down, across, sharey=True, squeeze=False)
    newest = scores.groupby("cell_id").tail(1).set_index("cell_id")
    for axes, cell in zip(panels.flat, cells, strict=False):
        _draw_cell(axes, rows[rows["cell_id"] == cell], end_of_life, bool(summary["simulated"]))
        last: Any = newest.loc[cell]
        _draw_forecast(axes, last, end_of_life)
        axes.set_title(cell, fontsize=9)
    for axes in panels.flat[len(cells) :]:
        axes.set_visible(False)
    for line in panels:
        line[0].set_ylabel("SOH", fontsize=9)
    handles, names = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    for axes in panels.flat[max(len(cells) - across, 0) : len(cells)]:
        axes.set_xlabel(str(scores["usage_unit"].iloc[0]), fontsize=9)
    return save_figure(figure, f"{summary['label']}: {summary['model']}", file)


def _draw_cell(axes: Axes, cell: pd.DataFrame, end_of_life: float, is_simulated: bool) -> None:
    thin = cell.iloc[np.unique(np.linspace(0, len(cell) - 1, _MAX_POINTS).astype(int))]
    interval = (thin["usage"], thin["soh_lower"], thin["soh_upper"])
    axes.fill_between(*interval, color=PREDICTED, alpha=0.15, lw=0, label="prediction interval")
    axes.plot(thin["usage"], thin["prediction"], color=PREDICTED, lw=1.3, label="predicted SOH")
    style: dict[str, Any] = {"ls": "", "marker": "o", "ms": 2.5} if len(thin) <= 60 else {"lw": 0.8}
    axes.plot(thin["usage"], thin["soh"], color=MEASURED, label="simulated" if is_simulated else "measured", **style)
    label = f"end of life ({end_of_life:.0%}), forecast with interval"
    axes.axhline(end_of_life, color=BLUE, lw=0.8, ls=":", label=label)
    axes.grid(color=GRID)
    axes.tick_params(labelsize=8)


def _draw_forecast(axes: Axes, newest: pd.Series[Any], end_of_life: float) -> None:
    """Draw a line from the newest check-up to the forecast end of life, with the interval of the forecast."""
    rul, low, high = (float(newest[name]) for name in ("rul", "rul_low", "rul_high"))
    if not rul > 0:
        return
    start = float(newest["usage"])
    axes.plot([start, start + rul], [newest["soh"], end_of_life], color=PREDICTED, lw=1.0, ls="--")
    reach = high if np.isfinite(high) else 1.5 * rul
    ends = [[rul - low], [max(reach - rul, 0.0)]]
    axes.errorbar([start + rul], [end_of_life], xerr=ends, fmt="o", ms=3, color=PREDICTED, lw=1.0, capsize=2)
