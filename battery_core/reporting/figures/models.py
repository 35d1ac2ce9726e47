"""Plots of how models learnt, what they look at and whether their intervals hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from battery_core.reporting.figures.data import BLUE, GREEN, ORANGE, SKY, VERMILLION, save

_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, SKY, "#CC79A7", "0.15", "0.55")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_MOST_FEATURES = 15


def calibration(models: Mapping[str, Sequence[Mapping[str, float]]], title: str, file: Path) -> Path:
    """Share of check-ups that intervals hold against the share they promise, and how wide they are for it.

    Args:
        models: for each model its levels, each with ``nominal``, ``coverage`` and ``width`` in SOH points.
        title: what is shown.
        file: PNG to write.
    """
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    held, wide = figure.subplots(1, 2)
    held.plot([0, 100], [0, 100], color="0.5", lw=0.8, label="as promised")
    for i, (name, levels) in enumerate(models.items()):
        style = {"color": _COLOURS[i % 8], "marker": _MARKERS[i % 8], "markersize": 5, "lw": 1.2, "label": name}
        promised = [100 * level["nominal"] for level in levels]
        held.plot(promised, [100 * level["coverage"] for level in levels], **style)
        wide.plot(promised, [level["width"] for level in levels], **style)
    held.set(ylabel="held on test cells, mean over cells, %", ylim=(0, 102))
    wide.set(ylabel="width from end to end, SOH points")
    wide.set_ylim(0, None)
    for axes in (held, wide):
        axes.set(xlabel="promised, % of check-ups", xlim=(47, 98))
        axes.grid(color="0.92")
    figure.legend(*held.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=9)
    return save(figure, title, file)


def learning(histories: Mapping[str, Mapping[str, Any]], title: str, file: Path) -> Path:
    """Loss over epochs (trees for LightGBM) of training and validation cells; the kept state is marked."""
    shown = {name: curves for name, h in histories.items() if (curves := curves_of(h))}
    columns = min(3, max(1, len(shown)))
    lines = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(3.4 * max(columns, 2), 2.8 * lines + 0.4), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (name, curves) in zip(panels, shown.items(), strict=False):
        _learning_of(axes, name, curves)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    return save(figure, title if shown else f"{title}: no model was fitted step by step", file)


def curves_of(history: Mapping[str, Any]) -> dict[str, list[float]]:
    """The losses of a training that has steps: one value an epoch or tree.

    Example:
        >>> curves_of({"train_loss": [2.0, 1.0], "val_loss": [2.0, 1.5], "lr": [0.1, 0.1], "stop_reason": "epochs"})
        {'train_loss': [2.0, 1.0], 'val_loss': [2.0, 1.5]}
        >>> curves_of({"length_scale": [1.0], "val_mape": [0.5]})
        {}
    """
    names = [n for n in history if n in ("train_loss", "val_loss") or n.startswith(("val_l1", "val_l2", "val_huber"))]
    values = {name: [np.nan if v is None else float(v) for v in history[name]] for name in names}
    return {name: curve for name, curve in values.items() if len(curve) > 1}


def _learning_of(axes: Axes, name: str, curves: Mapping[str, Sequence[float]]) -> None:
    for (what, values), colour in zip(curves.items(), (BLUE, VERMILLION, GREEN), strict=False):
        label = "training cells" if what == "train_loss" else "validation cells"
        colour = VERMILLION if what != "train_loss" else colour
        axes.plot(range(1, len(values) + 1), values, color=colour, lw=1.2, label=label)
        if what != "train_loss" and np.isfinite(values).any():
            best = int(np.nanargmin(values))
            axes.plot(best + 1, values[best], color=colour, marker="o", markersize=5)
    axes.set_yscale("log")
    axes.set_title(name, fontsize=10)
    axes.set_xlabel("epoch" if "val_loss" in curves or "train_loss" in curves else "tree")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(color="0.94", which="both")
    axes.legend(frameon=False, fontsize=8)


def importance(models: Mapping[str, Mapping[str, float]], title: str, unit: str, file: Path) -> Path:
    """What each model looks at: its largest features as bars, a panel a model.

    Args:
        models: for each model its features with their weight.
        title: what is shown.
        unit: what the weight is.
        file: PNG to write.
    """
    tops = {name: sorted(found.items(), key=lambda pair: -pair[1])[:_MOST_FEATURES] for name, found in models.items()}
    most = max((len(top) for top in tops.values()), default=1)
    columns = min(2, len(tops))
    lines = -(-len(tops) // columns)
    figure = Figure(figsize=(4.8 * columns + 1.2, (0.26 * most + 1.0) * lines + 0.4), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in panels[len(tops) :]:
        axes.set_axis_off()
    for axes, (name, top) in zip(panels, tops.items(), strict=False):
        names, values = [pair[0] for pair in reversed(top)], [pair[1] for pair in reversed(top)]
        axes.barh(names, values, color=BLUE, height=0.7)
        axes.tick_params(axis="y", labelsize=8, length=0)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel(unit)
        axes.grid(axis="x", color="0.92")
        axes.set_axisbelow(True)
    return save(figure, title, file)
