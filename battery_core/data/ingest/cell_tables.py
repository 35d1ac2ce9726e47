"""The tables of each cell: cells are read in batches and checked independently."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from battery_core.data.quality.across_cells import CellSummary, summarise
from battery_core.data.quality.checks import check_count
from battery_core.data.quality.rules import check_rows
from battery_core.data.tables import schema
from battery_core.data.tables.cell_rows import CellRows, Integers
from battery_core.data.tables.issues import Issue
from battery_core.errors import DataError

if TYPE_CHECKING:
    from battery_core.data.settings import DataSettings
    from battery_core.data.sources.base import BatchTables, CellFiles, Source
    from battery_core.data.sources.raw_text import RawText


@dataclass(frozen=True)
class CellTables:
    """Store one cell after reading and checks: ``rows_read`` is the sum of ``checkups`` and ``quarantined``.

    Args:
        cell: its row of the cells table; None where no check-up is left.
        checkups: usable rows, in order, without ``cell_id``.
        quarantined: unusable rows, each with rule and reason; None where there are none.
        curves: time series, where the source has them.
        issues: everything that looks wrong in this cell.
        rows_read: check-up rows in its raw files.
        summary: the numbers that rules across cells need; None where no check-up is left.
        content: digest of cell, check-ups and curves.
    """

    cell: Mapping[str, Any] | None
    checkups: pa.Table
    quarantined: pa.Table | None
    curves: pa.Table | None
    issues: tuple[Issue, ...]
    rows_read: int
    summary: CellSummary | None
    content: str


def number_types(source: Source) -> pa.Schema:
    """Return the types of a cell's check-ups: all columns but ``cell_id``."""
    return pa.schema([field for field in schema.checkups_arrow(source.columns) if field.name != "cell_id"])


def read_tables(
    source: Source, raw_dir: Path, cells: Sequence[CellFiles], settings: DataSettings, text: RawText | None = None
) -> list[CellTables]:
    """Read and check the tables of some cells.

    Args:
        source: the reader.
        raw_dir: the raw folder.
        cells: the cells.
        settings: the data settings.
        text: the content of their files, where it was read already.

    Raises:
        DataError: a file or a table is not valid.
    """
    batch = source.read_cells(raw_dir, cells, settings, text)
    tables = batch.tables
    checked = check_rows(tables.cells, tables.checkups, settings, _check_cells(source, cells, batch))
    checkups = schema.check_checkups(checked.checkups, source.columns, checked.rows)
    rows = checked.rows if checkups is checked.checkups else CellRows.of(checkups)
    if tables.curves is not None:
        schema.check_curves(tables.curves)
    numbers = rows.as_arrow(number_types(source))
    by_cell = {
        summary.cell_id: (summary, numbers.slice(start, summary.rows), digest)
        for summary, start, digest in zip(summarise(rows), rows.starts.tolist(), rows.digests(), strict=True)
    }
    issues = _issues_by_cell([*tables.issues, *checked.issues])
    quarantined = _quarantined_by_cell([tables.quarantined, checked.quarantined], issues, source)
    cell_rows = tables.cells[list(schema.CELL_COLUMNS)].to_numpy(dtype=object).tolist()
    metadata = {row[0]: dict(zip(schema.CELL_COLUMNS, row, strict=True)) for row in cell_rows}
    result, curve_start = [], 0
    for cell, rows_read, n_curve in zip(cells, batch.rows_read, batch.curve_rows, strict=True):
        name = cell.cell_id
        summary, cell_checkups, digest = by_cell.get(name, (None, numbers.slice(0, 0), ""))
        cell_quarantined = quarantined.get(name)
        check_count(
            f"cell '{name}', source '{source.name}'",
            rows_read,
            cell_checkups.num_rows,
            cell_quarantined.num_rows if cell_quarantined else 0,
        )
        curve_end = curve_start + (n_curve or 0)
        curves = None if n_curve is None or tables.curves is None else tables.curves.iloc[curve_start:curve_end]
        row = metadata[name] if summary else None
        result.append(
            CellTables(
                cell=row,
                checkups=cell_checkups,
                quarantined=cell_quarantined,
                curves=None if curves is None else schema.as_arrow(curves, schema.curves_arrow()),
                issues=tuple(issues.get(name, ())),
                rows_read=rows_read,
                summary=summary,
                content=_content(row, digest, curves),
            )
        )
        curve_start = curve_end
    return result


def _check_cells(source: Source, cells: Sequence[CellFiles], batch: BatchTables) -> tuple[Integers, Any]:
    """Validate that a reader returns the requested cells in their order and no other; one without check-ups has no row.

    Returns:
        The number of each row's cell, and the cells by that number.

    Raises:
        DataError: a cell is missing, too many, or mixed up with another.
    """
    tables, requested = batch.tables, [cell.cell_id for cell in cells]
    codes, row_cells = pd.factorize(tables.checkups["cell_id"])
    listed, with_issues = tables.cells["cell_id"].tolist(), {issue.cell_id for issue in tables.issues}
    present = set(row_cells)
    expected = [cell for cell in requested if cell in present]
    is_right = listed == expected and list(row_cells) == expected and with_issues <= set(requested)
    if not is_right or (codes[1:] < codes[:-1]).any():
        unexpected = (present ^ set(listed)) | ({*present, *listed, *with_issues} - set(requested))
        shown = sorted(map(str, unexpected))[:3] or ["a cell's rows under another"]
        dots = " ..." * (len(requested) > 3)
        raise DataError(
            f"source '{source.name}': expected the cells {', '.join(requested[:3])}{dots} with their own check-ups, "
            f"one row each; the reader gave also, or not, {', '.join(shown)} - mend its reader"
        )
    return codes, row_cells


def _issues_by_cell(issues: Sequence[Issue]) -> dict[str, list[Issue]]:
    by_cell: dict[str, list[Issue]] = {}
    for issue in issues:
        by_cell.setdefault(issue.cell_id, []).append(issue)
    return by_cell


def _quarantined_by_cell(
    frames: Sequence[pd.DataFrame | None], issues: Mapping[str, Sequence[Issue]], source: Source
) -> dict[str, pa.Table]:
    """Return the rows that the reader, then the rules quarantined, each with rule and reason; by cell."""
    frames = [frame for frame in frames if frame is not None and len(frame)]
    if not frames:
        return {}
    rows = pd.concat(frames, ignore_index=True).sort_values("cell_id", kind="stable", ignore_index=True)
    by_row: dict[tuple[str, int | None], list[Issue]] = {}
    for issue in (issue for some in issues.values() for issue in some if issue.action == "quarantined"):
        by_row.setdefault((issue.cell_id, issue.row), []).append(issue)
    row_issues = [by_row.get(row, []) for row in zip(rows["cell_id"], rows["checkup_index"].astype(int), strict=True)]
    types = schema.quarantine_arrow(source.columns)
    table = schema.as_arrow(
        rows.reindex(columns=types.names).assign(
            rule=[", ".join(dict.fromkeys(issue.rule for issue in some)) for some in row_issues],
            reason=["; ".join(issue.reason for issue in some) for some in row_issues],
        ),
        types,
    )
    first = rows["cell_id"].drop_duplicates()
    ends = [*first.index[1:], len(rows)]
    return {cell: table.slice(start, end - start) for (start, cell), end in zip(first.items(), ends, strict=True)}


def _content(cell: Mapping[str, Any] | None, checkups: str, curves: pd.DataFrame | None) -> str:
    """Return a digest of a cell's tables, independent of the code and the settings that made them."""
    digest = hashlib.sha256(json.dumps([cell, checkups]).encode())
    if curves is not None:
        codes, words = pd.factorize(curves["half_cycle"])
        digest.update(json.dumps(list(words)).encode() + codes.tobytes())
        for name in schema.CURVE_COLUMNS:
            if name not in schema.TEXT_COLUMNS and name != "half_cycle":
                digest.update(np.ascontiguousarray(curves[name].to_numpy()).tobytes())
    return digest.hexdigest()
