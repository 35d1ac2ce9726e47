"""Figure of inspected cycler exports: fade of each cell, and one cycle of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from battery_core.reporting.figures.style import GRID, Colour, colour_scale, make_panels, save_figure

Array = npt.NDArray[np.float64]
_MAX_PANELS = 12
_COLUMNS = 3


@dataclass(frozen=True)
class CellCurves:
    """Measured curves of one cell.

    Args:
        name: of the cell.
        cycle_count, soh: one value a check-up.
        time_h, voltage_V, current_A: charge and discharge of the last check-up.
    """

    name: str
    cycle_count: Array
    soh: Array
    time_h: Array
    voltage_V: Array
    current_A: Array


def draw_cycler_cells(cells: Sequence[CellCurves], title: str, file: Path) -> Path:
    """Draw the fade of all cells in one panel, then voltage and current of one cycle of the first twelve."""
    shown = cells[:_MAX_PANELS]
    rows = -(-len(shown) // _COLUMNS)
    figure = Figure(figsize=(11.0, 3.6 + 2.6 * rows), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=[3.6, max(2.6 * rows, 0.1)])
    colours = colour_scale(max(len(cells), 2))
    _draw_fade(halves[0].subplots(), cells, colours)
    panels = make_panels(halves[1], len(shown), _COLUMNS) if shown else []
    for axes, cell, colour in zip(panels, shown, colours, strict=False):
        _draw_cycle(axes, cell, colour)
    return save_figure(figure, title, file)


def _draw_fade(axes: Axes, cells: Sequence[CellCurves], colours: Sequence[Colour]) -> None:
    for cell, colour in zip(cells, colours, strict=False):
        is_dense = len(cell.soh) > 60
        axes.plot(
            cell.cycle_count, cell.soh, color=colour, marker="" if is_dense else "o", markersize=3.5, label=cell.name
        )
    axes.set(xlabel="cycles before the check-up", ylabel="SOH")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=GRID)
    if len(cells) <= _MAX_PANELS:
        axes.legend(frameon=False, fontsize=8, ncols=2)


def _draw_cycle(axes: Axes, cell: CellCurves, colour: Colour) -> None:
    axes.plot(cell.time_h, cell.voltage_V, color=colour, linewidth=1.2)
    axes.set_title(f"{cell.name}: last check-up", fontsize=9)
    axes.set_xlabel("time / h", fontsize=8)
    axes.set_ylabel("voltage / V", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(color=GRID)
    current = axes.twinx()
    current.plot(cell.time_h, cell.current_A, color="0.6", linewidth=0.9)
    current.axhline(0.0, color="0.85", linewidth=0.6)
    current.set_ylabel("current / A (charge positive)", fontsize=7, color="0.4")
    current.tick_params(labelsize=7, colors="0.4")
