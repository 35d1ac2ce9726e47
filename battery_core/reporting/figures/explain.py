"""Plots of Shapley values: which way each feature moves the estimates, and how one estimate came about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from battery_core.evaluation.explain.contributions import Array, Contributions
from battery_core.reporting.figures.data import BLUE, VERMILLION, save

_MOST_FEATURES = 12


def summary(found: Contributions, title: str, file: Path) -> Path:
    """Each dot is a check-up: how far a feature moved its estimate, coloured by the feature's own value."""
    order = np.argsort(-np.abs(found.values).mean(axis=0))[:_MOST_FEATURES]
    figure = Figure(figsize=(7.6, 0.34 * len(order) + 1.5), layout="constrained")
    axes = figure.subplots()
    generator = np.random.default_rng(0)
    for level, feature in enumerate(reversed(order)):
        height = level + generator.uniform(-0.3, 0.3, len(found.values))
        shade = _ranks(found.features[:, feature])
        dots = axes.scatter(
            found.values[:, feature], height, c=shade, cmap="cividis", s=6, alpha=0.8, linewidths=0, vmin=0, vmax=1
        )
    axes.axvline(0.0, color="0.5", lw=0.8)
    axes.set(yticks=range(len(order)), yticklabels=[found.names[i] for i in reversed(order)])
    axes.set_xlabel("moves the estimate by, SOH points")
    axes.grid(axis="x", color="0.93")
    bar = figure.colorbar(dots, ax=axes, ticks=[0, 1], aspect=30)
    bar.ax.set_yticklabels(["low value", "high value"], fontsize=8)
    bar.outline.set_visible(False)
    return save(figure, title, file)


def waterfall(found: Contributions, shown: Mapping[str, int], title: str, file: Path) -> Path:
    """How single estimates came about, from the mean estimate to each, a panel a check-up.

    Args:
        found: Shapley values.
        shown: what a check-up stands for, with its position among them.
        title: what is shown.
        file: PNG to write.
    """
    bars = min(len(found.names), _MOST_FEATURES - 1)
    figure = Figure(figsize=(7.6, (0.27 * bars + 1.35) * len(shown) + 0.4), layout="constrained")
    panels = figure.subplots(len(shown), 1, squeeze=False).ravel()
    for axes, (what, row) in zip(panels, shown.items(), strict=True):
        line, error = found.rows.iloc[row], float(np.nanmax(found.errors[row], initial=0.0))
        sampled = f" (\u00b1 {error:.2f})" if error > 0 else ""
        _heading(axes, f"{what}: {line['cell_id']}, check-up {line['checkup_index']}{sampled}")
        _panel(axes, found, row)
    return save(figure, title, file)


def _heading(axes: Axes, text: str) -> None:
    """At the left edge of the figure, where a phone that shows half of it has it in sight."""
    axes.set_title(" ", fontsize=11)  # keeps its place
    axes.annotate(
        text, (0.01, 1.0), (0, 6), ("figure fraction", "axes fraction"), "offset points", fontsize=10,
        fontweight="bold", in_layout=False,
    )  # fmt: skip


def _panel(axes: Axes, found: Contributions, row: int) -> None:
    values, line = found.values[row], found.rows.iloc[row]
    order = np.argsort(-np.abs(values))[: _MOST_FEATURES - 2]
    names = [f"{found.names[i]} = {found.features[row, i]:.4g}" for i in order]
    steps = [float(values[i]) for i in order]
    if len(order) < len(values):
        names.append(f"{len(values) - len(order)} others")
        steps.append(float(values.sum() - sum(steps)))
    ends = _steps(axes, found.base, names, steps)
    if np.isfinite(line["soh"]):
        axes.axvline(line["soh"], color="0.2", lw=1.2, ls="--", label=f"label {line['soh']:.3f}")
        ends.append(float(line["soh"]))
    spare = 0.14 * (max(ends) - min(ends)) or 0.002  # for the numbers beside the bars
    axes.set_xlim(min(ends) - spare, max(ends) + spare)
    axes.axvline(line["prediction"], color="0.2", lw=1.2, label=f"estimate {line['prediction']:.3f}")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3, frameon=False, fontsize=8)


def _steps(axes: Axes, base: float, names: list[str], steps: list[float]) -> list[float]:
    """Bars that start where the one above ends, from the mean estimate to this one; where they start and end."""
    level = base
    for height, step in zip(range(len(steps), 0, -1), steps, strict=True):
        axes.barh(height, step / 100, left=level, height=0.66, color=VERMILLION if step < 0 else BLUE)
        level += step / 100
        axes.annotate(
            f"{step:+.2f}", (level, height), (4 if step >= 0 else -4, 0), textcoords="offset points", fontsize=8,
            ha="left" if step >= 0 else "right", va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8}, zorder=4,
        )  # fmt: skip
    axes.axvline(base, color="0.6", lw=0.8, ls=":", label=f"mean estimate {base:.3f}")
    axes.set(yticks=range(len(steps), 0, -1), yticklabels=names, xlabel="SOH; numbers are SOH points")
    axes.grid(axis="x", color="0.93")
    axes.set_axisbelow(True)
    return [base, *(base + np.cumsum(steps) / 100)]


def _ranks(values: Array) -> Array:
    """Values by their rank, 0 to 1; a missing one is in the middle."""
    known = np.isfinite(values)
    ranks = np.full(len(values), 0.5)
    if known.sum() > 1:
        ranks[known] = np.searchsorted(np.sort(values[known]), values[known]) / (known.sum() - 1)
    return ranks
