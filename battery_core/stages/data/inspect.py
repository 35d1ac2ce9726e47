"""What a folder of cycler exports was understood to be, cell by cell, before anything is trained."""

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
    """Read every cell of ``data.cycler.folder`` as a run would; a cell that is refused does not stop the others.

    Raises:
        DataError: there is no such folder, or its table of cells is not as it should be.
    """
    views, pictures, tables = [], [], []
    refused: dict[str, str] = {}
    issues: list[Issue] = []
    for cell in folder_cells(settings.data.cycler):
        try:
            found = analyse_cell(cell.metadata, cell.files, settings.data.cycler)
            part = as_tables(found, settings.data)
        except DataError as err:
            refused[cell.metadata.cell_id] = str(err)
            continue
        issues += part.issues
        views.append(_view(found, part, settings.data))
        if len(part.checkups):
            tables.append(part)
            pictures.append(_picture(found, part, views[-1]))
    issues += _quality(tables, settings.data, refused)
    figure = None
    if pictures:
        folder = settings.data.cycler.folder or Path()
        file = settings.folder("artifacts") / "inspect" / f"{folder.resolve().name}.png"
        figure = draw_cycler_cells(pictures, f"'{folder.resolve().name}': {len(pictures)} cell(s) with check-ups", file)
    return Inspection(views, refused, issues, figure)


def _view(found: CellAnalysis, part: SourceTables, settings: DataSettings) -> CellSummary:
    nominal = found.metadata.nominal_capacity_Ah
    values = soh(part.checkups, part.cells, settings.soh_reference) if len(part.checkups) else pd.Series(dtype=float)
    first = found.exports[0].columns
    window = f"{found.window.lower_V:.2f}-{found.window.upper_V:.2f}{' (seen)' if found.window.measured else ''}"
    return CellSummary(
        cell=found.metadata.cell_id,
        formats=", ".join(dict.fromkeys(export.kind for export in found.exports)),
        columns={
            name: f"{first[name].header}, read as {first[name].unit}" for name in INSPECTED_COLUMNS if name in first
        },
        sign="; ".join(found.signs),
        files=len(found.exports),
        rows=len(found.record),
        steps=steps(found.record.current_A, settings.cycler.rest_current * nominal),
        cycles=sum(half.kind == "discharge" for half in found.halves),
        checkups=len(part.checkups),
        days=float(found.record.time_s[-1]) / _SECONDS_PER_DAY,
        soh=tuple(float(value) for value in values),
        window=window,
    )


def _picture(found: CellAnalysis, part: SourceTables, view: CellSummary) -> CellCurves:
    last = next(c for c, broken in zip(found.checkups[::-1], found.broken[::-1], strict=True) if not broken)
    cut = slice(last.begins, last.discharge.stop + 1)
    time_h = (found.record.time_s[cut] - found.record.time_s[last.begins]) / _SECONDS_PER_HOUR
    cycles = part.checkups["cycle_count"].to_numpy(dtype=float)
    return CellCurves(
        view.cell, cycles, np.array(view.soh), time_h, found.record.voltage_V[cut], found.record.current_A[cut]
    )


def _quality(tables: Sequence[SourceTables], settings: DataSettings, refused: dict[str, str]) -> list[Issue]:
    """The checks of a run on the check-ups of all cells together."""
    if not tables:
        return []
    cells = pd.concat([part.cells for part in tables], ignore_index=True)
    checkups = pd.concat([part.checkups for part in tables], ignore_index=True)
    try:
        return check_quality(cells, checkups, settings)[1]
    except DataError as err:
        refused["all cells"] = str(err)
        return []
