"""Figures of sequence models: attention to earlier check-ups, and the latent path of ageing."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from battery_core.evaluation.explain.sequences import attention_weights, latent_paths
from battery_core.models.nn.base import TorchModel
from battery_core.predictors.pipeline import Pipeline
from battery_core.reporting.figures.style import GRID, SERIES, save_figure

_MAX_ESTIMATES, _MAX_CELLS = 60, 5


def draw_attention(pipeline: Pipeline, rows: pd.DataFrame, title: str, file: Path) -> Path:
    """Draw the attention of the estimate of each check-up of one cell to the cell's earlier check-ups.

    Args:
        pipeline: of the LSTM.
        rows: all check-ups of one cell, in order.
        title: of the figure.
        file: PNG to write.
    """
    step = max(1, len(rows) // _MAX_ESTIMATES)
    positions = np.arange(0, len(rows), step)
    binned = np.add.reduceat(attention_weights(pipeline, rows, positions), positions, axis=1)
    number = rows["checkup_index"].to_numpy()[::step]
    figure = Figure(figsize=(6.2, 5.2), layout="constrained")
    axes = figure.subplots()
    mesh = axes.pcolormesh(number, number, np.where(binned > 0, binned, np.nan), cmap="cividis", shading="nearest")
    axes.set(xlabel="check-up that is attended to", ylabel="check-up that is estimated")
    axes.set_aspect("equal")
    over = "heads and members" if cast(TorchModel, pipeline.model).n_members > 1 else "heads"
    figure.colorbar(mesh, ax=axes, shrink=0.8, label=f"share of attention, mean over {over}")
    return save_figure(figure, title, file)


def draw_latent_paths(pipeline: Pipeline, rows: pd.DataFrame, title: str, file: Path) -> Path:
    """Draw the latent paths of some test cells up to their last check-up, and their effect on that estimate.

    The line on the right is the estimate of the last check-up with that much ageing before it. A flat line means that
    the measurements of the last check-up decide, and the path adds little. It is no fade curve.

    Args:
        pipeline: of the neural ODE.
        rows: all check-ups of the cells, each cell's in order.
        title: of the figure.
        file: PNG to write.
    """
    cells = list(dict.fromkeys(rows["cell_id"]))[:_MAX_CELLS]
    rows = rows[rows["cell_id"].isin(cells)].reset_index(drop=True)
    paths = latent_paths(pipeline, rows)
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    time = pipeline.feature_pipeline.settings.history_time
    for i, cell in enumerate(paths.cells):
        colour, last = SERIES[i], rows[rows["cell_id"] == cell].iloc[-1]
        left.plot(paths.plane[i, :, 0], paths.plane[i, :, 1], color=colour, lw=1.3, label=cell)
        left.plot(paths.plane[i, 0, 0], paths.plane[i, 0, 1], color=colour, marker="o", markersize=5)
        right.plot(paths.time[i], paths.soh[i], color=colour, lw=1.5)
        right.plot(last[time], last["soh"], color=colour, marker="x", markersize=7)
    left.set(xlabel="first principal direction", ylabel="second principal direction")
    right.set(xlabel=time, ylabel="SOH of last check-up (cross: label)")
    for axes in (left, right):
        axes.grid(color=GRID)
    if cast(TorchModel, pipeline.model).n_members > 1:
        title = f"{title}, the first of {cast(TorchModel, pipeline.model).n_members} members"
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return save_figure(figure, title, file)
