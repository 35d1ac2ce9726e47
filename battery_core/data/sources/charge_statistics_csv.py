"""Reads CSV files of charge statistics side by side; what is wrong with one is said of that file and line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from battery_core.errors import DataError

# header in the public files -> canonical name; charges are in Ah and times in s there
COLUMNS: Mapping[str, str] = {
    "voltage mean": "voltage_mean_V",
    "voltage std": "voltage_std_V",
    "voltage kurtosis": "voltage_kurtosis",
    "voltage skewness": "voltage_skewness",
    "CC Q": "cc_charge_Ah",
    "CC charge time": "cc_time_s",
    "voltage slope": "voltage_slope_V_per_s",
    "voltage entropy": "voltage_entropy",
    "current mean": "current_mean_A",
    "current std": "current_std_A",
    "current kurtosis": "current_kurtosis",
    "current skewness": "current_skewness",
    "CV Q": "cv_charge_Ah",
    "CV charge time": "cv_time_s",
    "current slope": "current_slope_A_per_s",
    "current entropy": "current_entropy",
    "capacity": "capacity_Ah",
}
_TYPES = pacsv.ConvertOptions(
    column_types=dict.fromkeys(COLUMNS, pa.float64()), include_columns=list(COLUMNS), include_missing_columns=False
)
_ONE_THREAD = pacsv.ReadOptions(use_threads=False)  # batches of files are read side by side
_WRONG = (pa.ArrowInvalid, pa.ArrowKeyError)


def read_csv_files(paths: Sequence[Path], where: Sequence[str]) -> tuple[pa.Table, list[int]]:
    """The known columns of some files as float64, one file's rows after the other's, and the number of rows of each.

    Files alike are parsed as one text: a third quicker than each for itself, for they are small. A blank field is a
    missing value.

    Args:
        paths: the files.
        where: whose they are, for messages.

    Raises:
        DataError: a file is not a CSV file with these columns.
    """
    text = _one_text(paths)
    if text is not None:
        with suppress(*_WRONG):  # read one by one, the error names file and line
            table = pacsv.read_csv(pa.BufferReader(text[0]), convert_options=_TYPES, read_options=_ONE_THREAD)
            if table.num_rows == sum(text[1]):  # no row has less than a line: each file has as many as it has lines
                return table, text[1]
    tables = [_read_csv(path, whose) for path, whose in zip(paths, where, strict=True)]
    return pa.concat_tables(tables), [table.num_rows for table in tables]


def _one_text(paths: Sequence[Path]) -> tuple[pa.Buffer, list[int]] | None:
    """Files with one header as one text, and the lines of each below it; None where they are not alike."""
    with paths[0].open("rb") as stream:
        header = stream.readline()
    sizes = [path.stat().st_size - len(header) for path in paths]
    if min(sizes) <= 0:
        return None
    text = np.empty(len(header) + sum(sizes), dtype=np.uint8)
    text[: len(header)] = np.frombuffer(header, dtype=np.uint8)
    lines, end = [], len(header)
    for path, size in zip(paths, sizes, strict=True):
        part = text[end : end + size]
        file = os.open(path, os.O_RDONLY)
        try:
            alike = os.pread(file, len(header), 0) == header and os.preadv(file, [part.data], len(header)) == size
        finally:
            os.close(file)
        if not alike or part[-1] != ord("\n"):
            return None
        lines.append(int(np.count_nonzero(part == ord("\n"))))
        end += size
    return pa.py_buffer(text), lines


def _read_csv(path: Path, where: str) -> pa.Table:
    try:
        return pacsv.read_csv(path, convert_options=_TYPES, read_options=_ONE_THREAD)
    except _WRONG as err:
        raise DataError(_what_is_wrong(where, path, str(err))) from err


def _what_is_wrong(where: str, path: Path, reason: str) -> str:
    """Look again at a file that could not be read, for a person."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        header = [name.strip().strip('"') for name in lines.readline().split(",")]
    if missing := [name for name in COLUMNS if name not in header]:
        found = ", ".join(header)[:300] or "an empty file"
        return f'{where}: no column "{missing[0]}" in {path.name}; found {found} - rename it or fetch the file again'
    if field := re.search(r"column #(\d+).*Row #(\d+).*invalid value (.*)", reason):
        column, line, value = header[int(field[1])], field[2], field[3]
        return (
            f'{where}: {path.name}, line {line}: column "{column}" is {value}; expected a number - mend that field or '
            "leave it blank"
        )
    return f"{where}: {path.name} is not a whole CSV file ({reason}) - fetch it again"
