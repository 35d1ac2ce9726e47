"""The tables of each cell, read and checked: cells are read and checked together, each is judged by itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_core.data.quality.across_cells import CellSummary, summarise
from battery_core.data.quality.checks import check_count
from battery_core.data.quality.rules import check_rows
from battery_core.data.tables import schema
from battery_core.data.tables.cell_block import Block, blocks_of
from battery_core.data.tables.cell_rows import CellRows
from battery_core.data.tables.issues import Issue
from battery_core.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from battery_core.data.settings import DataSettings
    from battery_core.data.sources.base import BatchTables, CellFiles, Source
    from battery_core.data.sources.raw_text import RawText


@dataclass(frozen=True)
class CellTables:
    """One cell, read and checked: ``rows_read`` check-ups are in ``checkups`` or in ``quarantined``.

    Args:
        cell: its row of the cells table; None where no check-up is left.
        checkups: rows kept, in order; None where no check-up is left.
        quarantined: rows taken out, each with rule and reason; None where none was.
        curves: time series, where the source has them.
        findings: what is wrong with this cell.
        rows_read: check-up rows in its raw files.
        summary: what the rules across cells need; None where no check-up is left.
        content: digest of what is kept.
    """

    cell: Mapping[str, Any] | None
    checkups: Block | None
    quarantined: pa.Table | None
    curves: pa.Table | None
    issues: tuple[Issue, ...]
    rows_read: int
    summary: CellSummary | None
    content: str

    @property
    def n_checkups(self) -> int:
        """Check-up rows kept."""
        return self.checkups.rows if self.checkups else 0


def read_tables(
    source: Source, raw_dir: Path, cells: Sequence[CellFiles], settings: DataSettings, text: RawText | None = None
) -> tuple[list[CellTables], CellRows]:
    """Tables of some cells from their raw files, and the check-ups of all of them one after the other.

    Args:
        source: the reader.
        raw_dir: the raw folder.
        cells: the cells.
        settings: the data settings.
        text: the content of their files, where it was read already.

    Raises:
        DataError: a file or a table is not what it should be.
    """
    batch = source.read_cells(raw_dir, cells, settings, text)
    whole = batch.whole
    numbered = _check_cells(source, cells, batch)
    checked = check_rows(whole.cells, whole.checkups, settings, numbered)
    kept = schema.check_checkups(checked.kept, source.columns, checked.rows)
    rows = checked.rows if kept is checked.kept else CellRows.of(kept)
    if whole.curves is not None:
        schema.check_curves(whole.curves)
    blocks = blocks_of(rows)
    mine = {one.cell_id: (one, block) for one, block in zip(summarise(rows, blocks), blocks, strict=True)}
    issues = _by_cell([*whole.issues, *checked.issues])
    out = _quarantined([whole.quarantined, checked.quarantined], issues, source)
    given = whole.cells if [*whole.cells] == [*schema.CELL_COLUMNS] else whole.cells[list(schema.CELL_COLUMNS)]
    facts = {row[0]: row for row in given.to_numpy(dtype=object).tolist()}
    tables, curve_start = [], 0
    for cell, rows_read, n_curve in zip(cells, batch.rows_read, batch.curve_rows, strict=True):
        name = cell.cell_id
        summary, block = mine.get(name, (None, None))
        taken_out, n = out.get(name), summary.rows if summary else 0
        check_count(f"cell '{name}', source '{source.name}'", rows_read, n, taken_out.num_rows if taken_out else 0)
        curve_end = curve_start + (n_curve or 0)
        curves = None if n_curve is None or whole.curves is None else whole.curves.iloc[curve_start:curve_end]
        about = dict(zip(schema.CELL_COLUMNS, facts[name], strict=True)) if summary else None
        content = _content(about, summary.content if summary else "", curves)
        series = None if curves is None else schema.as_arrow(curves, schema.curves_arrow())
        found = tuple(issues.get(name, ()))
        tables.append(CellTables(about, block, taken_out, series, found, rows_read, summary, content))
        curve_start = curve_end
    return tables, rows


def _check_cells(source: Source, cells: Sequence[CellFiles], batch: BatchTables) -> tuple[Any, Any]:
    """A reader gives the cells it was asked for, in their order, and no other; one without a check-up has no row.

    Returns:
        The number of each row's cell, and the cells by that number.
    """
    import pandas as pd

    whole, asked = batch.whole, [cell.cell_id for cell in cells]
    codes, owners = pd.factorize(whole.checkups["cell_id"])
    given, named = whole.cells["cell_id"].tolist(), {finding.cell_id for finding in whole.issues}
    present = set(owners)
    expected = [cell for cell in asked if cell in present]
    if given != expected or list(owners) != expected or (codes[1:] < codes[:-1]).any() or not named <= set(asked):
        strange = (present ^ set(given)) | ({*present, *given, *named} - set(asked))
        shown = sorted(map(str, strange))[:3] or ["a cell's rows under another"]
        raise DataError(
            f"source '{source.name}': expected the cells {', '.join(asked[:3])}{' ...' * (len(asked) > 3)} with their "
            f"own check-ups, one row each; the reader gave also, or not, {', '.join(shown)} - mend its reader"
        )
    return codes, owners


def _by_cell(issues: Sequence[Issue]) -> dict[str, list[Issue]]:
    found: dict[str, list[Issue]] = {}
    for finding in issues:
        found.setdefault(finding.cell_id, []).append(finding)
    return found


def _quarantined(
    parts: Sequence[pd.DataFrame | None], issues: Mapping[str, Sequence[Issue]], source: Source
) -> dict[str, pa.Table]:
    """Rows taken out by the reader, then those by the rules, each with what was wrong; by cell."""
    import pandas as pd

    rows = [part for part in parts if part is not None and len(part)]
    if not rows:
        return {}
    whole = pd.concat(rows, ignore_index=True).sort_values("cell_id", kind="stable", ignore_index=True)
    reasons: dict[tuple[str, int | None], list[Issue]] = {}
    for finding in (finding for some in issues.values() for finding in some if finding.action == "quarantined"):
        reasons.setdefault((finding.cell_id, finding.row), []).append(finding)
    said = [reasons.get(row, []) for row in zip(whole["cell_id"], whole["checkup_index"].astype(int), strict=True)]
    wanted = schema.quarantine_arrow(source.columns)
    table = schema.as_arrow(
        whole.reindex(columns=wanted.names).assign(
            rule=[", ".join(dict.fromkeys(finding.rule for finding in some)) for some in said],
            reason=["; ".join(finding.reason for finding in some) for some in said],
        ),
        wanted,
    )
    first = whole["cell_id"].drop_duplicates()
    ends = [*first.index[1:], len(whole)]
    return {cell: table.slice(start, end - start) for (start, cell), end in zip(first.items(), ends, strict=True)}


def _content(about: Any, checkups: str, curves: pd.DataFrame | None) -> str:
    """Digest of what is kept of a cell, whatever the code and the settings that kept it."""
    import numpy as np
    import pandas as pd

    digest = hashlib.sha256(json.dumps([about, checkups]).encode())
    if curves is not None:
        codes, words = pd.factorize(curves["half_cycle"])
        digest.update(json.dumps(list(words)).encode() + codes.tobytes())
        for name in schema.CURVE_COLUMNS:
            if name not in schema.TEXT_COLUMNS and name != "half_cycle":
                digest.update(np.ascontiguousarray(curves[name].to_numpy()).tobytes())
    return digest.hexdigest()
