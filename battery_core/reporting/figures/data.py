"""Figures of the data: fade of all cells, spacing of check-ups, quality issues."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from battery_core.reporting.figures.style import (
    BLUE,
    GRID,
    ORANGE,
    VERMILLION,
    Colour,
    make_panels,
    save_figure,
    temperature_colours,
)
from battery_core.reporting.formats import temperature

_MAX_PANELS, _MAX_POINTS, _MAX_NAMES = 6, 150, 40


def draw_fade_curves(rows: pd.DataFrame, title: str, file: Path) -> Path:
    """Draw the SOH of every cell over its usage, coloured by temperature; a panel a group where there are at most six.

    Args:
        rows: labelled check-ups with the metadata of their cells.
        title: of the figure.
        file: PNG to write.
    """
    usage, unit = usage_of(rows)
    rows = rows.assign(usage=usage).sort_values(["cell_id", "checkup_index"])
    groups = [str(group) for group in sorted(rows["group"].unique())]
    panels = groups if 1 < len(groups) <= _MAX_PANELS else [""]
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    size = (3.4 * columns, 2.9 * lines + 0.7) if len(panels) > 1 else (7.6, 4.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = make_panels(figure, len(panels), columns, sharey=True)
    colours = temperature_colours(rows["ambient_temperature_degC"])
    for axes, group in zip(grid, panels, strict=False):
        of_group = rows[rows["group"] == group] if group else rows
        _draw_cells(axes, of_group, colours)
        axes.set_title(f"{group} ({of_group['cell_id'].nunique()} cells)" if group else "", fontsize=9)
        axes.set_xlabel(unit)
    for axes in grid[::columns]:
        axes.set_ylabel("SOH")
    handles = [Line2D([], [], color=colour, lw=2, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    return save_figure(figure, title, file)


def _draw_cells(axes: Axes, rows: pd.DataFrame, colours: dict[str, Colour]) -> None:
    has_many = rows["cell_id"].nunique() > 20
    names = rows.groupby("cell_id")["ambient_temperature_degC"].first().map(temperature)
    curves = []
    for _, cell in rows.groupby("cell_id"):
        step = max(1, len(cell) // _MAX_POINTS)
        curves.append(cell[["usage", "soh"]].to_numpy()[::step])
    style = {"linewidths": 0.7 if has_many else 1.1, "alpha": 0.6 if has_many else 0.85}
    axes.add_collection(LineCollection(curves, colors=[colours[name] for name in names], **style))
    axes.autoscale()
    axes.grid(color=GRID)


def draw_checkup_spacing(rows: pd.DataFrame, title: str, file: Path) -> Path:
    """Draw the number of check-ups of each cell, and the median and the longest gap between them."""
    time, unit = time_of(rows)
    ordered = rows.assign(time=time).sort_values(["cell_id", "checkup_index"])
    gaps = ordered.assign(gap=ordered.groupby("cell_id")["time"].diff()).groupby("cell_id")
    cells = gaps.agg(group=("group", "first"), n=("time", "size"), median=("gap", "median"), longest=("gap", "max"))
    groups = sorted(cells["group"].unique())
    if len(groups) > 2 * _MAX_PANELS:
        groups, cells = ["all cells"], cells.assign(group="all cells")
    figure = Figure(figsize=(9.6, 1.7 + 0.42 * len(groups)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    level = cells["group"].map({group: i for i, group in enumerate(groups)}) + _jitter(len(cells))
    left.scatter(cells["n"], level, s=14, color=BLUE, alpha=0.6, linewidths=0)
    left.set(
        xlabel="check-ups of a cell", yticks=range(len(groups)), yticklabels=groups, ylim=(len(groups) - 0.4, -0.6)
    )
    left.set_xlim(0, None)
    right.scatter(cells["longest"], level, s=22, facecolors="none", edgecolors=VERMILLION, marker="s", label="longest")
    right.scatter(cells["median"], level, s=14, color=BLUE, alpha=0.6, linewidths=0, label="median")
    finite = cells[["median", "longest"]].to_numpy()
    finite = finite[np.isfinite(finite) & (finite > 0)]
    if finite.size and finite.max() > 20 * finite.min():
        right.set_xscale("log")
    else:
        right.set_xlim(0, None)
    right.set_xlabel(f"between two check-ups: {unit}")
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=2, frameon=False, fontsize=8)
    for axes in (left, right):
        axes.grid(axis="x", color=GRID)
        axes.tick_params(axis="y", labelsize=8)
    return save_figure(figure, title, file)


def draw_quality_issues(rows: pd.DataFrame, issues: pd.DataFrame, title: str, file: Path) -> Path:
    """Draw every cell as a bar of its check-ups; flagged and quarantined rows are marked.

    Args:
        rows: labelled check-ups that passed the checks.
        issues: columns cell_id, row, action; the row is missing for issues of whole cells or columns.
        title: of the figure.
        file: PNG to write.
    """
    placed = issues[issues["row"].notna() & (issues["action"] != "kept")]
    ends = pd.concat([rows.groupby("cell_id")["checkup_index"].max(), placed.groupby("cell_id")["row"].max()])
    ends = ends.groupby(level=0).max().sort_index()
    figure = Figure(figsize=(9.6, min(10.0, 1.6 + 0.12 * len(ends))), layout="constrained")
    axes = figure.subplots()
    level = {cell: i for i, cell in enumerate(ends.index)}
    axes.barh(list(level.values()), ends.to_numpy() + 1, left=-0.5, height=0.7, color="0.85", label="kept")
    styles = {"flagged": (ORANGE, "v", 30), "quarantined": (VERMILLION, "|", 34)}
    for action, (colour, marker, size) in styles.items():
        marked = placed[placed["action"] == action]
        positions, label = (marked["row"], marked["cell_id"].map(level)), _count_label(action, marked["cell_id"])
        axes.scatter(*positions, s=size, marker=marker, color=colour, label=label, zorder=3)
    with_issues = [cell for cell in ends.index if cell in set(placed["cell_id"])] or list(ends.index)
    shown = with_issues if len(ends) <= _MAX_NAMES else _spread_out(with_issues, level, len(ends) / _MAX_NAMES)
    axes.set(yticks=[level[cell] for cell in shown], yticklabels=shown, xlabel="check-up in the raw file")
    axes.tick_params(axis="y", labelsize=7, length=0)
    axes.set_xlim(-0.5 - 0.015 * float(ends.max() + 1), None)
    axes.set_ylim(len(ends) - 0.4, -0.6)
    axes.set_ylabel(f"{len(ends)} cells" + ("; named where there are issues" if len(shown) < len(ends) else ""))
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return save_figure(figure, title, file)


def _count_label(action: str, cells: pd.Series[str]) -> str:
    count = cells.nunique()
    return f"{action}: {len(cells)} in {count} cell{'s'[: count != 1]}" if count else f"{action}: none"


def _spread_out(cells: Sequence[str], level: dict[str, int], least: float) -> list[str]:
    """Return names whose labels do not overlap."""
    shown: list[str] = []
    for cell in cells:
        if not shown or level[cell] - level[shown[-1]] >= least:
            shown.append(cell)
    return shown


def usage_of(rows: pd.DataFrame) -> tuple[pd.Series[float], str]:
    """Return the usage of each check-up and its unit: full cycles where throughput is known, else cycles."""
    efc = rows["throughput_Ah"] / (2 * rows["nominal_capacity_Ah"])
    for values, unit in ((efc, "equivalent full cycles"), (rows["cycle_count"], "cycles")):
        if values.notna().mean() > 0.9:
            return values, unit
    return rows["checkup_index"].astype(float), "check-ups"


def time_of(rows: pd.DataFrame) -> tuple[pd.Series[float], str]:
    """Return the time of each check-up and its unit: days where they are known, else usage."""
    return (rows["time_days"], "days") if rows["time_days"].notna().mean() > 0.9 else usage_of(rows)


def _jitter(n: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(0).uniform(-0.22, 0.22, n)
