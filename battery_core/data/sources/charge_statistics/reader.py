"""Reader of CSV files of charge statistics; every row is in the tables, or quarantined with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from battery_core.data.sources.base import CHARGE_STATISTICS, BatchTables, SourceTables
from battery_core.data.sources.charge_statistics.csv_files import COLUMNS as COLUMNS
from battery_core.data.sources.charge_statistics.csv_files import read_csv_files
from battery_core.data.sources.raw_text import RawText
from battery_core.data.tables.issues import Issue
from battery_core.data.tables.schema import CELL_COLUMNS, CHECKUP_COLUMNS
from battery_core.errors import DataError

_NUMBERS = pd.Index([*CHECKUP_COLUMNS[2:], *CHARGE_STATISTICS], dtype=object)  # made once: it costs as much as a read
_NOT_THEIRS = [name for name in _NUMBERS if name not in COLUMNS.values()]
_CELL_COLUMNS = pd.Index(CELL_COLUMNS, dtype=object)


def read_files(
    paths: Sequence[Path], cells: Sequence[Mapping[str, object]], text: RawText | None = None
) -> BatchTables:
    """Return the tables of cells, each from its file and its row of the cells table.

    Raises:
        DataError: a file cannot be read, or has no usable label.
    """
    names = [str(cell["cell_id"]) for cell in cells]
    where = [f"cell '{cell['cell_id']}', source '{cell['source']}'" for cell in cells]
    numbers, counts = read_csv_files(paths, where, text)
    rows, is_bad = _table(names, counts, numbers)
    _check_labels(paths, where, counts, rows)
    metadata = pd.DataFrame(
        [[cell[name] for name in CELL_COLUMNS] for cell in cells], columns=_CELL_COLUMNS, dtype=object
    )
    out: npt.NDArray[np.bool_] = is_bad.any(axis=0)
    tables = SourceTables(metadata, rows, rows_read=len(rows))
    if out.any():
        is_out = np.split(out, np.cumsum(counts)[:-1])
        bare = [name for name, of_cell in zip(names, is_out, strict=True) if of_cell.all()]
        tables = SourceTables(
            cells=metadata[~metadata["cell_id"].isin(bare)].reset_index(drop=True),
            checkups=rows[~out].reset_index(drop=True),
            issues=[*_non_finite(rows, is_bad), *map(_no_checkup, bare)],
            rows_read=len(rows),
            quarantined=rows[out].reset_index(drop=True),
        )
    return BatchTables(tables, tuple(counts), (None,) * len(cells))


def _table(names: Sequence[str], counts: Sequence[int], columns: pa.Table) -> tuple[pd.DataFrame, Any]:
    """Return one check-up per cycle in canonical columns, and where numbers are missing, shape (columns, rows)."""
    n = sum(counts)
    index = np.concatenate([np.arange(count) for count in counts])
    block = np.empty((len(_NUMBERS), n))  # one block: pandas takes it as it is
    is_bad = np.zeros((len(COLUMNS), n), dtype=bool)
    for name in _NOT_THEIRS:
        block[_NUMBERS.get_loc(name)] = index + 1.0 if name == "cycle_count" else np.nan
    for bad, (theirs, ours) in zip(is_bad, COLUMNS.items(), strict=True):
        values = block[_NUMBERS.get_loc(ours)]
        np.concatenate([piece.to_numpy(zero_copy_only=False) for piece in columns.column(theirs).chunks], out=values)
        np.logical_not(np.isfinite(values), out=bad)
    rows = pd.DataFrame(block.T, columns=_NUMBERS, copy=False)
    rows.insert(0, "checkup_index", index)
    rows.insert(0, "cell_id", _words(names, counts))
    return rows, is_bad


def _words(names: Sequence[str], counts: Sequence[int]) -> Any:
    """Repeat each name by its count; built from integer codes because comparing strings is slow."""
    codes = np.repeat(np.arange(len(names), dtype="int32"), counts)
    words = pa.DictionaryArray.from_arrays(codes, pa.array(names, pa.large_string())).cast(pa.large_string())
    return pd.array(words, dtype="str")


def _check_labels(paths: Sequence[Path], where: Sequence[str], counts: Sequence[int], rows: pd.DataFrame) -> None:
    """Check that every file has rows and at least one capacity."""
    there = np.concatenate([[0], np.cumsum(np.isfinite(rows["capacity_Ah"].to_numpy()))])
    ends = np.cumsum(counts)
    for path, whose, n, labels in zip(paths, where, counts, there[ends] - there[ends - counts], strict=True):
        if n == 0:
            raise DataError(f"{whose}: {path.name} has a header but no rows - fetch it again or remove it")
        if labels == 0:
            raise DataError(
                f"{whose}: column 'capacity' has no finite value in {n} rows; expected Ah - without a label the cell "
                "cannot be used: mend or remove the file"
            )


def _non_finite(rows: pd.DataFrame, is_bad: Any) -> list[Issue]:
    names = list(COLUMNS.values())
    bad_rows, columns = np.nonzero(is_bad.T)
    taken_out = rows.iloc[bad_rows]
    numbers = taken_out[names].to_numpy()[np.arange(len(columns)), columns].tolist()
    of = zip(taken_out["cell_id"].tolist(), taken_out["checkup_index"].tolist(), columns.tolist(), numbers, strict=True)
    reason = "{} is {}: not a measured number"
    return [
        Issue(cell, row, "non_finite", names[j], str(value), "quarantined", reason.format(names[j], value))
        for cell, row, j, value in of
    ]


def _no_checkup(cell: str) -> Issue:
    return Issue(cell, None, "no_checkup", "", "", "quarantined", "every row of this cell is quarantined: no cell left")
