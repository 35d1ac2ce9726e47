"""Figure of data drift: distribution of each feature in training and test cells."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from battery_core.evaluation.data_drift import finite_values
from battery_core.reporting.figures.style import BLUE, VERMILLION, make_panels, save_figure

_COLUMNS, _MAX_FEATURES, _BINS = 5, 20, 30
Array = npt.NDArray[np.float64]


def draw_drift(features: pd.DataFrame, subset: pd.Series[str], drift: pd.DataFrame, title: str, file: Path) -> Path:
    """Draw training against test cells, a panel a feature, the largest distance first.

    Args:
        features: shape (N, F).
        subset: ``train`` or ``test`` for each row.
        drift: result of ``measure_drift``.
        title: of the figure.
        file: PNG to write.
    """
    shown = drift.head(_MAX_FEATURES)
    lines = max(1, math.ceil(len(shown) / _COLUMNS))
    figure = Figure(figsize=(11.0, 1.75 * lines + 0.9), layout="constrained")
    grid = make_panels(figure, len(shown), _COLUMNS)
    for axes, line in zip(grid, shown.to_dict(orient="records"), strict=False):
        _draw_panel(axes, *(finite_values(features[line["feature"]], subset, name) for name in ("train", "test")))
        outside = f", {line['outside']:.0%} outside" if line["outside"] >= 0.005 else ""
        axes.set_title(f"{line['feature']}\ndistance {line['ks']:.2f}{outside}", fontsize=8)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    more = f"; the {_MAX_FEATURES} largest of {len(drift)} features" if len(drift) > _MAX_FEATURES else ""
    return save_figure(figure, f"{title}: Kolmogorov-Smirnov distance, 0 alike to 1 apart{more}", file)


def _draw_panel(axes: Axes, train: Array, test: Array) -> None:
    both = np.concatenate([train, test])
    low, high = np.quantile(both, [0.002, 0.998])  # one outlier would squeeze all other values into one bar
    edges = np.linspace(low, high, _BINS + 1).tolist() if high > low else [low - 0.5, low + 0.5]
    shares = [np.full(len(values), 1 / len(values)) for values in (train, test)]
    axes.hist(train, edges, weights=shares[0], histtype="stepfilled", color=BLUE, alpha=0.35, label="training cells")
    axes.hist(test, edges, weights=shares[1], histtype="step", color=VERMILLION, linewidth=1.4, label="test cells")
    axes.set_yticks([])
    axes.tick_params(axis="x", labelsize=7)
    axes.locator_params(axis="x", nbins=4)
    axes.spines[["top", "right", "left"]].set_visible(False)
