"""The plot of a scoring run: how each cell has faded, where it is now, and when it is expected at its end of life."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_COLUMNS = 4
_DPI = 110
_POINTS = 400


def fade_ahead(
    rows: pd.DataFrame,
    scores: pd.DataFrame,
    cells: list[str],
    end_of_life: float,
    title: str,
    file: Path,
    simulated: bool = False,
) -> Path:
    """A small panel for each cell: SOH predicted and measured over use, the interval, and the forecast.

    Args:
        rows: columns cell_id, use, soh, prediction, soh_lower, soh_upper.
        scores: columns cell_id, use, soh, use_left, use_left_low, use_left_high, use_unit.
        cells: which, in the order of the panels.
        end_of_life: SOH.
        title: what is shown.
        file: PNG to write.
        simulated: whether the SOH was simulated, not measured.
    """
    across, down = min(_COLUMNS, len(cells)), math.ceil(len(cells) / _COLUMNS)
    figure = Figure(figsize=(max(2.9 * across, 4.0), 2.3 * down + 0.9), layout="constrained")
    panels: Any = figure.subplots(down, across, sharey=True, squeeze=False)
    newest = scores.groupby("cell_id").tail(1).set_index("cell_id")
    for axes, cell in zip(panels.flat, cells, strict=False):
        now: Any = newest.loc[cell]
        _one_cell(axes, rows[rows["cell_id"] == cell], now, end_of_life, simulated)
        axes.set_title(cell, fontsize=9)
    for axes in panels.flat[len(cells) :]:
        axes.set_visible(False)
    for line in panels:
        line[0].set_ylabel("SOH", fontsize=9)
    handles, names = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    for axes in panels.flat[max(len(cells) - across, 0) : len(cells)]:
        axes.set_xlabel(str(scores["use_unit"].iloc[0]), fontsize=9)
    figure.suptitle("\n".join(textwrap.wrap(title, 40 * across)), fontsize=10)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=_DPI)
    return file


def _one_cell(axes: Axes, cell: pd.DataFrame, now: Any, end_of_life: float, simulated: bool) -> None:
    thin = cell.iloc[np.unique(np.linspace(0, len(cell) - 1, _POINTS).astype(int))]
    axes.fill_between(
        thin["use"], thin["soh_lower"], thin["soh_upper"], color="tab:red", alpha=0.15, lw=0, label="its interval"
    )
    axes.plot(thin["use"], thin["prediction"], color="tab:red", lw=1.3, label="predicted SOH")
    style: dict[str, Any] = {"ls": "", "marker": "o", "ms": 2.5} if len(thin) <= 60 else {"lw": 0.8}
    axes.plot(thin["use"], thin["soh"], color="0.25", label="simulated" if simulated else "measured", **style)
    axes.axhline(
        end_of_life,
        color="tab:blue",
        lw=0.8,
        ls=":",
        label=f"end of life ({end_of_life:.0%}), expected with its interval",
    )
    if now["use_left"] > 0:
        start, end = float(now["use"]), float(now["use"] + now["use_left"])
        axes.plot([start, end], [now["soh"], end_of_life], color="tab:red", lw=1.0, ls="--")
        high = float(now["use_left_high"])
        reach = high if np.isfinite(high) else 1.5 * float(now["use_left"])
        ends = [[float(now["use_left"] - now["use_left_low"])], [max(reach - float(now["use_left"]), 0.0)]]
        axes.errorbar([end], [end_of_life], xerr=ends, fmt="o", ms=3, color="tab:red", lw=1.0, capsize=2)
    axes.grid(color="0.93")
    axes.tick_params(labelsize=8)
