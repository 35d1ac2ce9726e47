"""Plots of models that read a cell's history: which check-ups an estimate attends to, and the latent path of ageing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from battery_core.features.sequences import sequence_index
from battery_core.predictors.pipeline import Pipeline
from battery_core.reporting.figures.data import BLUE, GREEN, ORANGE, SKY, VERMILLION, save

_MOST_ESTIMATES, _MOST_CELLS = 60, 5
_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, SKY)


def attention(pipeline: Pipeline, rows: pd.DataFrame, title: str, file: Path) -> Path:
    """How much the estimate of each check-up of one cell attends to that cell's earlier check-ups.

    Args:
        pipeline: of the LSTM.
        rows: all check-ups of one cell, in order.
        title: what is shown.
        file: PNG to write.
    """
    step = max(1, len(rows) // _MOST_ESTIMATES)
    weights = attention_of(pipeline, rows, np.arange(0, len(rows), step))
    binned = np.add.reduceat(weights, np.arange(0, len(rows), step), axis=1)
    number = rows["checkup_index"].to_numpy()[::step]
    figure = Figure(figsize=(6.2, 5.2), layout="constrained")
    axes = figure.subplots()
    map_ = axes.pcolormesh(number, number, np.where(binned > 0, binned, np.nan), cmap="cividis", shading="nearest")
    axes.set(xlabel="check-up that is attended to", ylabel="check-up that is estimated")
    axes.set_aspect("equal")
    over = "heads and members" if pipeline.model.n_members > 1 else "heads"
    figure.colorbar(map_, ax=axes, shrink=0.8, label=f"share of attention, mean over {over}")
    return save(figure, title, file)


def attention_of(pipeline: Pipeline, rows: pd.DataFrame, which: Any) -> np.ndarray[Any, Any]:
    """Shares of attention, shape (estimates, check-ups of the cell); each line sums to 1.

    Args:
        pipeline: of the LSTM.
        rows: all check-ups of one cell, in order.
        which: positions of the check-ups that are estimated.
    """
    x, mask, t, index = _histories(pipeline, rows, which)
    with torch.no_grad():
        found = pipeline.model.explain(x, mask, t).mean(dim=1).numpy()  # (B, heads, T) -> (B, T)
    weights = np.zeros((len(found), len(rows)))
    np.add.at(weights, (np.arange(len(found))[:, None], index.rows), np.where(index.mask, found, 0.0))
    return weights


def latent(pipeline: Pipeline, rows: pd.DataFrame, title: str, file: Path) -> Path:
    """The latent paths of some test cells up to their last check-up, and what they do to that check-up's estimate.

    The line on the right is what the last check-up would be estimated at with that much ageing behind it: a flat one
    says that its own measurements decide, and the path adds little. It is no fade curve. Of several members it is the
    first: latent states have no mean.

    Args:
        pipeline: of the neural ODE.
        rows: all check-ups of the cells, each cell's in order.
        title: what is shown.
        file: PNG to write.
    """
    cells = list(dict.fromkeys(rows["cell_id"]))[:_MOST_CELLS]
    rows = rows[rows["cell_id"].isin(cells)].reset_index(drop=True)
    last = rows.groupby("cell_id", sort=False).tail(1).index.to_numpy()
    x, mask, t, _ = _histories(pipeline, rows, last)
    with torch.no_grad():
        path = pipeline.model.explain(x, mask, t)
    days, soh = path.days.numpy(), path.soh[..., 0].numpy() * pipeline.target_scale + pipeline.target_mean
    states = path.latent.numpy()
    flat = states.reshape(-1, states.shape[-1])
    _, _, axes_of = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    plane = (states - flat.mean(axis=0)) @ axes_of[:2].T  # (B, K, H) -> (B, K, 2): the two directions that vary most
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    time = pipeline.feature_settings.history_time
    for i, cell in enumerate(rows.loc[last, "cell_id"]):
        colour, own = _COLOURS[i], rows[rows["cell_id"] == cell]
        left.plot(plane[i, :, 0], plane[i, :, 1], color=colour, lw=1.3, label=str(cell))
        left.plot(plane[i, 0, 0], plane[i, 0, 1], color=colour, marker="o", markersize=5)
        right.plot(days[i], soh[i], color=colour, lw=1.5)
        right.plot(own[time].iloc[-1], own["soh"].iloc[-1], color=colour, marker="x", markersize=7)
    left.set(xlabel="first principal direction", ylabel="second principal direction")
    right.set(xlabel=time, ylabel="SOH of last check-up (cross: label)")
    for axes in (left, right):
        axes.grid(color="0.93")
    if pipeline.model.n_members > 1:
        title = f"{title}, the first of {pipeline.model.n_members} members"
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return save(figure, title, file)


def _histories(pipeline: Pipeline, rows: pd.DataFrame, which: Any) -> tuple[Any, Any, Any, Any]:
    """What the model is given of these check-ups: features, mask and time as tensors, and the index of rows."""
    scaled = pipeline.scaler.transform(pipeline.features(rows).to_numpy(dtype=np.float64))
    index = sequence_index(rows, pipeline.feature_settings).take(which)
    return torch.from_numpy(index.gather(scaled)), torch.from_numpy(index.mask), torch.from_numpy(index.t), index
