"""Inspect a folder of cycler exports, cell by cell, before any training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from battery_core.data.cycling.half_cycles import steps
from battery_core.data.quality.checks import check_quality
from battery_core.data.settings import DataSettings
from battery_core.data.sources.base import SourceTables
from battery_core.data.sources.cycler_folder.analyse import CellAnalysis, analyse_cell
from battery_core.data.sources.cycler_folder.cells import folder_cells
from battery_core.data.sources.cycler_folder.tables import as_tables
from battery_core.data.tables.issues import Issue
from battery_core.data.tables.labels import soh
from battery_core.errors import DataError
from battery_core.reporting.figures.cycler import CellCurves, draw_cycler_cells
from battery_core.reporting.tables.inspection import INSPECTED_COLUMNS, CellSummary, Inspection
from battery_core.settings import Settings

_SECONDS_PER_DAY, _SECONDS_PER_HOUR = 86400.0, 3600.0


def inspect(settings: Settings) -> Inspection:
    """Read every cell of ``data.cycler.folder`` as a run does; a refused cell does not stop the others.

    Raises:
        DataError: the folder does not exist, or its table of cells is invalid.
    """
    views, pictures, tables = [], [], []
    refused: dict[str, str] = {}
    issues: list[Issue] = []
    for cell in folder_cells(settings.data.cycler):
        try:
            analysis = analyse_cell(cell.metadata, cell.files, settings.data.cycler)
            cell_tables = as_tables(analysis, settings.data)
        except DataError as err:
            refused[cell.metadata.cell_id] = str(err)
            continue
        issues += cell_tables.issues
        views.append(_view(analysis, cell_tables, settings.data))
        if len(cell_tables.checkups):
            tables.append(cell_tables)
            pictures.append(_picture(analysis, cell_tables, views[-1]))
    issues += _quality(tables, settings.data, refused)
    figure = None
    if pictures:
        folder = settings.data.cycler.folder or Path()
        file = settings.folder("artifacts") / "inspect" / f"{folder.resolve().name}.png"
        figure = draw_cycler_cells(pictures, f"'{folder.resolve().name}': {len(pictures)} cell(s) with check-ups", file)
    return Inspection(views, refused, issues, figure)


def _view(analysis: CellAnalysis, tables: SourceTables, settings: DataSettings) -> CellSummary:
    nominal = analysis.metadata.nominal_capacity_Ah
    values = (
        soh(tables.checkups, tables.cells, settings.soh_reference) if len(tables.checkups) else pd.Series(dtype=float)
    )
    first = analysis.exports[0].columns
    window = (
        f"{analysis.window.lower_V:.2f}-{analysis.window.upper_V:.2f}{' (seen)' if analysis.window.measured else ''}"
    )
    return CellSummary(
        cell=analysis.metadata.cell_id,
        formats=", ".join(dict.fromkeys(export.kind for export in analysis.exports)),
        columns={
            name: f"{first[name].header}, read as {first[name].unit}" for name in INSPECTED_COLUMNS if name in first
        },
        sign="; ".join(analysis.signs),
        files=len(analysis.exports),
        rows=len(analysis.record),
        steps=steps(analysis.record.current_A, settings.cycler.rest_current * nominal),
        cycles=sum(half.kind == "discharge" for half in analysis.halves),
        checkups=len(tables.checkups),
        days=float(analysis.record.time_s[-1]) / _SECONDS_PER_DAY,
        soh=tuple(float(value) for value in values),
        window=window,
    )


def _picture(analysis: CellAnalysis, tables: SourceTables, view: CellSummary) -> CellCurves:
    last = next(c for c, broken in zip(analysis.checkups[::-1], analysis.broken[::-1], strict=True) if not broken)
    cut = slice(last.begins, last.discharge.stop + 1)
    time_h = (analysis.record.time_s[cut] - analysis.record.time_s[last.begins]) / _SECONDS_PER_HOUR
    cycles = tables.checkups["cycle_count"].to_numpy(dtype=float)
    return CellCurves(
        view.cell, cycles, np.array(view.soh), time_h, analysis.record.voltage_V[cut], analysis.record.current_A[cut]
    )


def _quality(tables: Sequence[SourceTables], settings: DataSettings, refused: dict[str, str]) -> list[Issue]:
    """Return the issues that the quality checks of a run find in the check-ups of all cells."""
    if not tables:
        return []
    cells = pd.concat([one.cells for one in tables], ignore_index=True)
    checkups = pd.concat([one.checkups for one in tables], ignore_index=True)
    try:
        return check_quality(cells, checkups, settings)[1]
    except DataError as err:
        refused["all cells"] = str(err)
        return []
