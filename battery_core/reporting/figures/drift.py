"""Whether the test cells look like the training cells: every feature's distribution, with a distance."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from battery_core.reporting.figures.data import BLUE, VERMILLION, save

_COLUMNS, _MOST, _BINS = 5, 20, 30


def drift(features: pd.DataFrame, part: pd.Series[str]) -> pd.DataFrame:
    """Distance of the test rows from the training rows, feature by feature, the largest first.

    Args:
        features: shape (N, F); missing values are left out, feature by feature.
        part: ``train`` or ``test`` for each row; others are passed over.

    Returns:
        Columns ``feature``; ``ks``, the largest distance of the two cumulative distributions, 0 to 1; ``outside``, the
        share of test rows beyond all training rows. A distance, not a test: check-ups of one cell are no independent
        draws, so there is no p-value.

    Reference:
        Kolmogorov (1933), Smirnov (1948): the two-sample statistic.

    Example:
        >>> frame = pd.DataFrame({"a": [0.0, 1.0, 0.0, 1.0], "b": [0.0, 1.0, 2.0, 3.0]})
        >>> drift(frame, pd.Series(["train", "train", "test", "test"]))["ks"].tolist()
        [1.0, 0.0]
    """
    from scipy.stats import ks_2samp

    lines = []
    for name in features.columns:
        train, test = _finite(features[name], part, "train"), _finite(features[name], part, "test")
        if len(train) and len(test):
            outside = float(np.mean((test < train.min()) | (test > train.max())))
            lines.append((str(name), float(ks_2samp(train, test, method="asymp").statistic), outside))
    table = pd.DataFrame(lines, columns=["feature", "ks", "outside"])
    return table.sort_values(["ks", "feature"], ascending=[False, True], ignore_index=True)


def distributions(features: pd.DataFrame, part: pd.Series[str], table: pd.DataFrame, title: str, file: Path) -> Path:
    """Training against test cells, a panel a feature, the most different first.

    Args:
        features: shape (N, F).
        part: ``train`` or ``test`` for each row.
        table: what ``drift`` made of them.
        title: what is shown.
        file: PNG to write.
    """
    shown = table.head(_MOST)
    lines = max(1, math.ceil(len(shown) / _COLUMNS))
    figure = Figure(figsize=(11.0, 1.75 * lines + 0.9), layout="constrained")
    grid = figure.subplots(lines, _COLUMNS, squeeze=False).ravel()
    for axes, line in zip(grid, shown.to_dict(orient="records"), strict=False):
        train, test = (_finite(features[line["feature"]], part, name) for name in ("train", "test"))
        _panel(axes, train, test)
        beyond = f", {line['outside']:.0%} outside" if line["outside"] >= 0.005 else ""
        axes.set_title(f"{line['feature']}\ndistance {line['ks']:.2f}{beyond}", fontsize=8)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    more = f"; the {_MOST} largest of {len(table)} features" if len(table) > _MOST else ""
    return save(figure, f"{title}: Kolmogorov-Smirnov distance, 0 alike to 1 apart{more}", file)


def _panel(axes: Axes, train: Any, test: Any) -> None:
    both = np.concatenate([train, test])
    low, high = np.quantile(both, [0.002, 0.998])  # one wild reading would squeeze all others into one bar
    edges = np.linspace(low, high, _BINS + 1).tolist() if high > low else [low - 0.5, low + 0.5]
    shares = [np.full(len(values), 1 / len(values)) for values in (train, test)]
    axes.hist(train, edges, weights=shares[0], histtype="stepfilled", color=BLUE, alpha=0.35, label="training cells")
    axes.hist(test, edges, weights=shares[1], histtype="step", color=VERMILLION, linewidth=1.4, label="test cells")
    axes.set_yticks([])
    axes.tick_params(axis="x", labelsize=7)
    axes.locator_params(axis="x", nbins=4)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _finite(values: pd.Series[float], part: pd.Series[str], name: str) -> Any:
    chosen = values[(part == name).to_numpy()].to_numpy(dtype=float)
    return chosen[np.isfinite(chosen)]
