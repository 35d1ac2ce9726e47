"""A look at one's own cells before anything is trained: how they fade, and one cycle of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # without pyplot: no screen is needed
from matplotlib.ticker import MaxNLocator

Array = npt.NDArray[np.float64]
_DPI = 110
_MOST_PANELS = 12
_COLUMNS = 3


@dataclass(frozen=True)
class CellPicture:
    """What is drawn of one cell.

    Args:
        name: the cell.
        cycle_count, soh: one value a check-up.
        time_h, voltage_V, current_A: one cycle, the charge and the discharge of its last check-up.
    """

    name: str
    cycle_count: Array
    soh: Array
    time_h: Array
    voltage_V: Array
    current_A: Array


def draw_cells(cells: Sequence[CellPicture], title: str, file: Path) -> Path:
    """Fade of all cells in one panel, then one cycle of each (of the first dozen) with voltage and current."""
    shown = cells[:_MOST_PANELS]
    rows = -(-len(shown) // _COLUMNS)
    figure = Figure(figsize=(11.0, 3.6 + 2.6 * rows), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[3.6, max(2.6 * rows, 0.1)])
    colours = colormaps["viridis"](np.linspace(0.0, 0.9, max(len(cells), 2)))
    _fade(parts[0].subplots(), cells, colours, title)
    panels: Any = np.atleast_1d(parts[1].subplots(rows, _COLUMNS, squeeze=False)).ravel() if shown else []
    for axes, cell, colour in zip(panels, shown, colours, strict=False):
        _one_cycle(axes, cell, colour)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=_DPI)
    return file


def _fade(axes: Axes, cells: Sequence[CellPicture], colours: Any, title: str) -> None:
    for cell, colour in zip(cells, colours, strict=False):
        dense = len(cell.soh) > 60
        axes.plot(
            cell.cycle_count, cell.soh, color=colour, marker="" if dense else "o", markersize=3.5, label=cell.name
        )
    axes.set(xlabel="cycles before the check-up", ylabel="SOH")
    axes.set_title(title, fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="0.92")
    if len(cells) <= _MOST_PANELS:
        axes.legend(frameon=False, fontsize=8, ncols=2)


def _one_cycle(axes: Axes, cell: CellPicture, colour: Any) -> None:
    axes.plot(cell.time_h, cell.voltage_V, color=colour, linewidth=1.2)
    axes.set_title(f"{cell.name}: last check-up", fontsize=9)
    axes.set_xlabel("time / h", fontsize=8)
    axes.set_ylabel("voltage / V", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(color="0.92")
    current = axes.twinx()
    current.plot(cell.time_h, cell.current_A, color="0.6", linewidth=0.9)
    current.axhline(0.0, color="0.85", linewidth=0.6)
    current.set_ylabel("current / A (charge positive)", fontsize=7, color="0.4")
    current.tick_params(labelsize=7, colors="0.4")
