"""A table has the same bytes whatever the pieces in which its cells arrive, and its digest is that of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from battery_core.data.ingest.table_writer import TableWriter
from battery_core.data.versioning.content import file_sha256

SIZES = [3, 40, 1, 7, 0, 12, 30, 5]
TABLE = pa.table({
    "cell_id": pa.array(np.repeat([f"C{i}" for i in range(len(SIZES))], SIZES), pa.large_string()),
    "checkup_index": np.concatenate([np.arange(n) for n in SIZES]),
    "capacity_Ah": np.random.default_rng(0).normal(size=sum(SIZES)),
})  # fmt: skip


def write(file: Path, cells_at_once: int) -> str:
    with TableWriter(file, TABLE.schema, rows=20) as writer:
        start = 0
        for i in range(0, len(SIZES), cells_at_once):
            sizes = SIZES[i : i + cells_at_once]
            writer.add(TABLE.slice(start, sum(sizes)), sizes)
            start += sum(sizes)
    return writer.sha256()


def test_pieces_leave_no_trace_and_no_cell_is_divided(tmp_path: Path) -> None:
    digests = {write(tmp_path / f"{n}.parquet", n) for n in (1, 2, 3, 8)}
    assert digests == {file_sha256(tmp_path / f"{n}.parquet") for n in (1, 2, 3, 8)}
    assert len(digests) == 1
    assert pq.read_table(tmp_path / "1.parquet").equals(TABLE)
    about = pq.read_metadata(tmp_path / "1.parquet")
    assert [about.row_group(i).num_rows for i in range(about.num_row_groups)] == [43, 20, 30, 5]


def test_without_rows_the_file_is_there_or_not_as_asked(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "a.parquet", TABLE.schema) as writer:
        writer.add(TABLE.slice(0, 0))
    assert writer.sha256() == file_sha256(tmp_path / "a.parquet")
    with TableWriter(tmp_path / "b.parquet", TABLE.schema, optional=True):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]


def test_after_an_error_nothing_more_is_written(tmp_path: Path) -> None:
    def fail_on_the_way() -> None:
        with TableWriter(tmp_path / "a.parquet", TABLE.schema) as writer:
            writer.add(TABLE)
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_on_the_way()
    assert not (tmp_path / "a.parquet").exists()
