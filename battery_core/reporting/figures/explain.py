"""Figures of Shapley values: contribution of each feature over many estimates, and in a single one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from battery_core.evaluation.explain.contributions import Array, Contributions
from battery_core.reporting.figures.style import BLUE, GRID, VERMILLION, save_figure

_MAX_FEATURES = 12


def draw_shap_summary(contributions: Contributions, title: str, file: Path) -> Path:
    """Draw a dot a check-up: contribution of a feature to its estimate, coloured by the value of the feature."""
    order = np.argsort(-np.abs(contributions.values).mean(axis=0))[:_MAX_FEATURES]
    figure = Figure(figsize=(7.6, 0.34 * len(order) + 1.5), layout="constrained")
    axes = figure.subplots()
    generator = np.random.default_rng(0)
    for level, feature in enumerate(reversed(order)):
        height = level + generator.uniform(-0.3, 0.3, len(contributions.values))
        shade = _ranks(contributions.features[:, feature])
        dots = axes.scatter(
            contributions.values[:, feature],
            height,
            c=shade,
            cmap="cividis",
            s=6,
            alpha=0.8,
            linewidths=0,
            vmin=0,
            vmax=1,
        )
    axes.axvline(0.0, color="0.5", lw=0.8)
    axes.set(yticks=range(len(order)), yticklabels=[contributions.names[i] for i in reversed(order)])
    axes.set_xlabel("contribution to the estimate, SOH points")
    axes.grid(axis="x", color=GRID)
    bar = figure.colorbar(dots, ax=axes, ticks=[0, 1], aspect=30)
    bar.ax.set_yticklabels(["low value", "high value"], fontsize=8)
    bar.outline.set_visible(False)
    return save_figure(figure, title, file)


def draw_waterfall(contributions: Contributions, shown: Mapping[str, int], title: str, file: Path) -> Path:
    """Draw the contributions from the mean estimate to single estimates, a panel a check-up.

    Args:
        contributions: Shapley values.
        shown: label and position of each check-up that is drawn.
        title: of the figure.
        file: PNG to write.
    """
    bars = min(len(contributions.names), _MAX_FEATURES - 1)
    figure = Figure(figsize=(7.6, (0.27 * bars + 1.35) * len(shown) + 0.4), layout="constrained")
    panels = figure.subplots(len(shown), 1, squeeze=False).ravel()
    for axes, (label, row) in zip(panels, shown.items(), strict=True):
        line, error = contributions.rows.iloc[row], float(np.nanmax(contributions.errors[row], initial=0.0))
        sampled = f" (\u00b1 {error:.2f})" if error > 0 else ""
        _add_heading(axes, f"{label}: {line['cell_id']}, check-up {line['checkup_index']}{sampled}")
        _draw_panel(axes, contributions, row)
    return save_figure(figure, title, file)


def _add_heading(axes: Axes, text: str) -> None:
    """Write a heading at the left edge of the figure, where a narrow screen shows it."""
    axes.set_title(" ", fontsize=11)  # reserves the space
    axes.annotate(
        text, (0.01, 1.0), (0, 6), ("figure fraction", "axes fraction"), "offset points", fontsize=10,
        fontweight="bold", in_layout=False,
    )  # fmt: skip


def _draw_panel(axes: Axes, contributions: Contributions, row: int) -> None:
    values, line = contributions.values[row], contributions.rows.iloc[row]
    order = np.argsort(-np.abs(values))[: _MAX_FEATURES - 2]
    names = [f"{contributions.names[i]} = {contributions.features[row, i]:.4g}" for i in order]
    steps = [float(values[i]) for i in order]
    if len(order) < len(values):
        names.append(f"{len(values) - len(order)} others")
        steps.append(float(values.sum() - sum(steps)))
    ends = _draw_steps(axes, contributions.base, names, steps)
    if np.isfinite(line["soh"]):
        axes.axvline(line["soh"], color="0.2", lw=1.2, ls="--", label=f"label {line['soh']:.3f}")
        ends.append(float(line["soh"]))
    spare = 0.14 * (max(ends) - min(ends)) or 0.002  # for the numbers beside the bars
    axes.set_xlim(min(ends) - spare, max(ends) + spare)
    axes.axvline(line["prediction"], color="0.2", lw=1.2, label=f"estimate {line['prediction']:.3f}")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3, frameon=False, fontsize=8)


def _draw_steps(axes: Axes, base: float, names: list[str], steps: list[float]) -> list[float]:
    """Draw bars, each from the end of the one above; return the positions of all ends."""
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
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    return [base, *(base + np.cumsum(steps) / 100)]


def _ranks(values: Array) -> Array:
    """Return values as ranks from 0 to 1; a missing value is 0.5."""
    finite = np.isfinite(values)
    ranks = np.full(len(values), 0.5)
    if finite.sum() > 1:
        ranks[finite] = np.searchsorted(np.sort(values[finite]), values[finite]) / (finite.sum() - 1)
    return ranks
