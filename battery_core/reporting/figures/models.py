"""Figures of models: learning curves, feature importance, calibration of intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from battery_core.reporting.figures.style import BLUE, GREEN, GRID, SERIES, VERMILLION, make_panels, save_figure

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_MAX_FEATURES = 15


def draw_calibration(models: Mapping[str, Sequence[Mapping[str, float]]], title: str, file: Path) -> Path:
    """Draw observed against nominal coverage of the intervals of each model, and their width.

    Args:
        models: for each model its levels, each with ``nominal``, ``coverage`` and ``width`` in SOH points.
        title: of the figure.
        file: PNG to write.
    """
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    coverage, width = figure.subplots(1, 2)
    coverage.plot([0, 100], [0, 100], color="0.5", lw=0.8, label="nominal")
    for i, (name, levels) in enumerate(models.items()):
        style = {"color": SERIES[i % 8], "marker": _MARKERS[i % 8], "markersize": 5, "lw": 1.2, "label": name}
        nominal = [100 * level["nominal"] for level in levels]
        coverage.plot(nominal, [100 * level["coverage"] for level in levels], **style)
        width.plot(nominal, [level["width"] for level in levels], **style)
    coverage.set(ylabel="coverage on test cells, mean over cells, %", ylim=(0, 102))
    width.set(ylabel="interval width, SOH points")
    width.set_ylim(0, None)
    for axes in (coverage, width):
        axes.set(xlabel="nominal coverage, %", xlim=(47, 98))
        axes.grid(color=GRID)
    figure.legend(*coverage.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=9)
    return save_figure(figure, title, file)


def draw_learning_curves(history: Mapping[str, Mapping[str, Any]], title: str, file: Path) -> Path:
    """Draw the loss over epochs (trees for LightGBM) of training and validation cells; the best state is marked.

    Args:
        history: for each model the recorded values of its training.
        title: of the figure.
        file: PNG to write.
    """
    shown = {name: curves for name, recorded in history.items() if (curves := loss_curves(recorded))}
    columns = min(3, max(1, len(shown)))
    lines = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(3.4 * max(columns, 2), 2.8 * lines + 0.4), layout="constrained")
    panels = make_panels(figure, len(shown), columns)
    for axes, (name, curves) in zip(panels, shown.items(), strict=False):
        _draw_curves(axes, name, curves)
    return save_figure(figure, title if shown else f"{title}: no model has learning curves", file)


def loss_curves(history: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the losses of a training in steps: one value an epoch or tree.

    Example:
        >>> loss_curves({"train_loss": [2.0, 1.0], "val_loss": [2.0, 1.5], "lr": [0.1, 0.1], "stop_reason": "epochs"})
        {'train_loss': [2.0, 1.0], 'val_loss': [2.0, 1.5]}
        >>> loss_curves({"length_scale": [1.0], "val_mape": [0.5]})
        {}
    """
    names = [n for n in history if n in ("train_loss", "val_loss") or n.startswith(("val_l1", "val_l2", "val_huber"))]
    values = {name: [np.nan if v is None else float(v) for v in history[name]] for name in names}
    return {name: curve for name, curve in values.items() if len(curve) > 1}


def _draw_curves(axes: Axes, name: str, curves: Mapping[str, Sequence[float]]) -> None:
    for (loss, values), colour in zip(curves.items(), (BLUE, VERMILLION, GREEN), strict=False):
        label = "training cells" if loss == "train_loss" else "validation cells"
        colour = VERMILLION if loss != "train_loss" else colour
        axes.plot(range(1, len(values) + 1), values, color=colour, lw=1.2, label=label)
        if loss != "train_loss" and np.isfinite(values).any():
            best = int(np.nanargmin(values))
            axes.plot(best + 1, values[best], color=colour, marker="o", markersize=5)
    axes.set_yscale("log")
    axes.set_title(name, fontsize=10)
    axes.set_xlabel("epoch" if "val_loss" in curves or "train_loss" in curves else "tree")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(color=GRID, which="both")
    axes.legend(frameon=False, fontsize=8)


def draw_importance(models: Mapping[str, Mapping[str, float]], title: str, unit: str, file: Path) -> Path:
    """Draw the most important features of each model as bars, a panel a model.

    Args:
        models: for each model the importance of its features.
        title: of the figure.
        unit: of the importance.
        file: PNG to write.
    """
    tops = {name: sorted(each.items(), key=lambda pair: -pair[1])[:_MAX_FEATURES] for name, each in models.items()}
    most = max((len(top) for top in tops.values()), default=1)
    columns = min(2, len(tops))
    lines = -(-len(tops) // columns)
    figure = Figure(figsize=(4.8 * columns + 1.2, (0.26 * most + 1.0) * lines + 0.4), layout="constrained")
    panels = make_panels(figure, len(tops), columns)
    for axes, (name, top) in zip(panels, tops.items(), strict=False):
        names, values = [pair[0] for pair in reversed(top)], [pair[1] for pair in reversed(top)]
        axes.barh(names, values, color=BLUE, height=0.7)
        axes.tick_params(axis="y", labelsize=8, length=0)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel(unit)
        axes.grid(axis="x", color=GRID)
        axes.set_axisbelow(True)
    return save_figure(figure, title, file)
