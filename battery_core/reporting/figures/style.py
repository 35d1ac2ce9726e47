"""Palette, line styles and file format of all figures."""

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
from matplotlib.figure import Figure, SubFigure  # without pyplot: no screen is needed

from battery_core.reporting.formats import temperature

Colour = str | tuple[float, float, float, float]
BLUE, SKY, GREEN, ORANGE, VERMILLION = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00"
PURPLE, BLACK, GREY = "#CC79A7", "0.15", "0.55"
SERIES = (BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE, BLACK, GREY)
"""Colours of lines and groups, distinct with every kind of colour vision. Reference: Okabe and Ito (2002)."""
MEASURED, PREDICTED, GRID = "0.25", VERMILLION, "0.92"
_TEMPERATURES = {1: (BLUE,), 2: (BLUE, VERMILLION), 3: (BLUE, GREEN, VERMILLION), 4: (BLUE, SKY, ORANGE, VERMILLION)}
_DPI, _CHARACTERS_PER_INCH = 110, 12


def colour_scale(n: int) -> list[Colour]:
    """Return n colours of one scale, from dark to bright."""
    colours = colormaps["cividis"](np.linspace(0.0, 0.95, n))
    return [(float(red), float(green), float(blue), float(alpha)) for red, green, blue, alpha in colours]


def group_colours(names: Sequence[str]) -> dict[str, Colour]:
    """Return a colour for each group; a scale where there are more groups than distinct colours."""
    colours: Sequence[Colour] = SERIES if len(names) <= len(SERIES) else colour_scale(len(names))
    return dict(zip(names, colours, strict=False))


def temperature_colours(values: pd.Series[float]) -> dict[str, Colour]:
    """Return a colour for each temperature, from cold to warm; grey for cells without one."""
    stated = sorted(values.dropna().unique())
    scale: Sequence[Colour] = _TEMPERATURES.get(len(stated)) or colour_scale(len(stated))
    colours = {temperature(value): colour for value, colour in zip(stated, scale, strict=False)}
    return colours | ({temperature(None): GREY} if values.isna().any() else {})


def make_panels(figure: Figure | SubFigure, count: int, columns: int, **options: Any) -> list[Axes]:
    """Return the axes of a grid of panels, line by line; those beyond ``count`` are hidden.

    Args:
        figure: to draw in.
        count: panels that are used.
        columns: panels side by side.
        options: of ``Figure.subplots``, such as ``sharey``.
    """
    grid = figure.subplots(max(1, math.ceil(count / columns)), columns, squeeze=False, **options).ravel()
    for axes in grid[count:]:
        axes.set_axis_off()
    return list(grid)


def save_figure(figure: Figure, title: str, file: Path) -> Path:
    """Write a figure as PNG with its title on top; return the file."""
    width = int(figure.get_figwidth() * _CHARACTERS_PER_INCH)
    figure.suptitle("\n".join(textwrap.wrap(title, width)), fontsize=10)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=_DPI)
    return file
