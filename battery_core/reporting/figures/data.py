"""Plots of the data themselves: how all cells fade, how often they were measured, what was flagged and taken out."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

NOT_STATED = "temperature not stated"
BLUE, SKY, GREEN, ORANGE, VERMILLION, GREY = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "0.55"
"""Told apart with every kind of colour vision. Reference: Okabe and Ito (2002)."""
_TEMPERATURES = {1: (BLUE,), 2: (BLUE, VERMILLION), 3: (BLUE, GREEN, VERMILLION), 4: (BLUE, SKY, ORANGE, VERMILLION)}
_DPI, _MOST_PANELS, _MOST_POINTS, _MOST_NAMES = 110, 6, 150, 40


def fade_curves(rows: pd.DataFrame, title: str, file: Path) -> Path:
    """SOH of every cell over its use, coloured by temperature; a panel a group where there are at most six.

    Args:
        rows: labelled check-ups with what is known of their cells.
        title: what is shown.
        file: PNG to write.
    """
    use, unit = use_of(rows)
    rows = rows.assign(use=use).sort_values(["cell_id", "checkup_index"])
    groups = [str(group) for group in sorted(rows["group"].unique())]
    panels = groups if 1 < len(groups) <= _MOST_PANELS else [""]
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    size = (3.4 * columns, 2.9 * lines + 0.7) if len(panels) > 1 else (7.6, 4.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    colours = temperature_colours(rows["ambient_temperature_degC"])
    for axes, group in zip(grid, panels, strict=False):
        part = rows[rows["group"] == group] if group else rows
        _cells(axes, part, colours)
        axes.set_title(f"{group} ({part['cell_id'].nunique()} cells)" if group else "", fontsize=9)
        axes.set_xlabel(unit)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[::columns]:
        axes.set_ylabel("SOH")
    handles = [Line2D([], [], color=colour, lw=2, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    return save(figure, title, file)


def _cells(axes: Axes, rows: pd.DataFrame, colours: dict[str, Any]) -> None:
    many = rows["cell_id"].nunique() > 20
    named = rows.groupby("cell_id")["ambient_temperature_degC"].first().map(temperature_name)
    curves = []
    for _, cell in rows.groupby("cell_id"):
        step = max(1, len(cell) // _MOST_POINTS)
        curves.append(cell[["use", "soh"]].to_numpy()[::step])
    style = {"linewidths": 0.7 if many else 1.1, "alpha": 0.6 if many else 0.85}
    axes.add_collection(LineCollection(curves, colors=[colours[name] for name in named], **style))
    axes.autoscale()
    axes.grid(color="0.92")


def spacing(rows: pd.DataFrame, title: str, file: Path) -> Path:
    """How often each cell was measured: check-ups a cell, and between check-ups the usual and the longest gap."""
    use, unit = time_of(rows)
    ordered = rows.assign(use=use).sort_values(["cell_id", "checkup_index"])
    gaps = ordered.assign(gap=ordered.groupby("cell_id")["use"].diff()).groupby("cell_id")
    cells = gaps.agg(group=("group", "first"), n=("use", "size"), usual=("gap", "median"), longest=("gap", "max"))
    groups = sorted(cells["group"].unique())
    if len(groups) > 2 * _MOST_PANELS:
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
    right.scatter(cells["usual"], level, s=14, color=BLUE, alpha=0.6, linewidths=0, label="median")
    seen = cells[["usual", "longest"]].to_numpy()
    if (seen := seen[np.isfinite(seen) & (seen > 0)]).size and seen.max() > 20 * seen.min():
        right.set_xscale("log")
    else:
        right.set_xlim(0, None)
    right.set_xlabel(f"between two check-ups: {unit}")
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=2, frameon=False, fontsize=8)
    for axes in (left, right):
        axes.grid(axis="x", color="0.92")
        axes.tick_params(axis="y", labelsize=8)
    return save(figure, title, file)


def quarantine_map(rows: pd.DataFrame, issues: pd.DataFrame, title: str, file: Path) -> Path:
    """Every cell as a bar of its check-ups; what was flagged or taken out is marked where it was found.

    Args:
        rows: labelled check-ups: what was kept.
        findings: columns cell_id, row, action; of findings about whole cells or columns the row is missing.
        title: what is shown.
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
        found = placed[placed["action"] == action]
        places, label = (found["row"], found["cell_id"].map(level)), _counted(action, found["cell_id"])
        axes.scatter(*places, s=size, marker=marker, color=colour, label=label, zorder=3)
    named = [cell for cell in ends.index if cell in set(placed["cell_id"])] or list(ends.index)
    shown = named if len(ends) <= _MOST_NAMES else _apart(named, level, len(ends) / _MOST_NAMES)
    axes.set(yticks=[level[cell] for cell in shown], yticklabels=shown, xlabel="check-up in the raw file")
    axes.tick_params(axis="y", labelsize=7, length=0)
    axes.set_xlim(-0.5 - 0.015 * float(ends.max() + 1), None)
    axes.set_ylim(len(ends) - 0.4, -0.6)
    axes.set_ylabel(f"{len(ends)} cells" + ("; named where something was found" if len(shown) < len(ends) else ""))
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return save(figure, title, file)


def _counted(action: str, cells: pd.Series[str]) -> str:
    where = cells.nunique()
    return f"{action}: {len(cells)} in {where} cell{'s'[: where != 1]}" if where else f"{action}: none"


def _apart(cells: Sequence[str], level: dict[str, int], least: float) -> list[str]:
    """Names that do not overlap."""
    shown: list[str] = []
    for cell in cells:
        if not shown or level[cell] - level[shown[-1]] >= least:
            shown.append(cell)
    return shown


def use_of(rows: pd.DataFrame) -> tuple[pd.Series[float], str]:
    """How far a cell has been used, and in which unit: full cycles where throughput is known, else cycles."""
    efc = rows["throughput_Ah"] / (2 * rows["nominal_capacity_Ah"])
    for values, unit in ((efc, "equivalent full cycles"), (rows["cycle_count"], "cycles")):
        if values.notna().mean() > 0.9:
            return values, unit
    return rows["checkup_index"].astype(float), "check-ups"


def time_of(rows: pd.DataFrame) -> tuple[pd.Series[float], str]:
    """When a check-up was, and in which unit: days where they are known, else use."""
    return (rows["time_days"], "days") if rows["time_days"].notna().mean() > 0.9 else use_of(rows)


def temperature_name(value: float) -> str:
    """A temperature for a legend.

    Example:
        >>> temperature_name(25.0), temperature_name(float("nan"))
        ('25 °C', 'temperature not stated')
    """
    return NOT_STATED if value != value else f"{value:g} °C"


def temperature_colours(values: pd.Series[float]) -> dict[str, Any]:
    """A colour for each temperature, cold to warm."""
    known = sorted(values.dropna().unique())
    scale = _TEMPERATURES.get(len(known)) or colormaps["cividis"](np.linspace(0.0, 0.95, len(known)))
    colours = {temperature_name(value): colour for value, colour in zip(known, scale, strict=False)}
    return colours | ({NOT_STATED: GREY} if values.isna().any() else {})


def _jitter(n: int) -> Any:
    return np.random.default_rng(0).uniform(-0.22, 0.22, n)


def save(figure: Figure, title: str, file: Path) -> Path:
    """Write the figure with its title on top."""
    width = int(figure.get_figwidth() * 12)
    figure.suptitle("\n".join(textwrap.wrap(title, width)), fontsize=10)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=_DPI)
    return file
