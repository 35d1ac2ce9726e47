"""Parallel reader of CSV files of charge statistics; an error names the file and the line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from battery_core.data.sources.raw_text import RawText, read_as_one
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
_COLUMNS: Mapping[str, Any] = {"column_types": dict.fromkeys(COLUMNS, pa.float64()), "include_columns": list(COLUMNS)}
_TYPES = pacsv.ConvertOptions(**_COLUMNS)
# as the public files are: no quotes, nothing but a blank for a missing value; a file that is not is read with _TYPES
_PLAIN = {
    "convert_options": pacsv.ConvertOptions(**_COLUMNS, null_values=[""]),
    "parse_options": pacsv.ParseOptions(quote_char=False),
}
_ONE_THREAD = pacsv.ReadOptions(use_threads=False, block_size=1 << 19)  # batches of files are read side by side
_WRONG = (pa.ArrowInvalid, pa.ArrowKeyError)


def read_csv_files(
    paths: Sequence[Path], where: Sequence[str], text: RawText | None = None
) -> tuple[pa.Table, list[int]]:
    """Read the required columns of several files as float64, concatenated, and the number of rows of each file.

    Files alike are parsed as one text: a third quicker than each for itself, for they are small. A blank field is a
    missing value.

    Args:
        paths: the files.
        where: whose they are, for messages.
        text: their content, where it was read already.

    Raises:
        DataError: a file is not a CSV file with these columns.
    """
    text = text or read_as_one([str(path) for path in paths], digests=False)
    if text is not None and text.text is not None and len(text.lines) == len(paths):
        with suppress(*_WRONG):  # read one by one, the error names file and line
            table = pacsv.read_csv(pa.py_buffer(text.text), read_options=_ONE_THREAD, **_PLAIN)
            if table.num_rows == sum(text.lines):  # no row has less than a line: each file has as many as it has lines
                return table, list(text.lines)
    tables = [_read_csv(path, whose) for path, whose in zip(paths, where, strict=True)]
    return pa.concat_tables(tables), [table.num_rows for table in tables]


def _read_csv(path: Path, where: str) -> pa.Table:
    try:
        return pacsv.read_csv(path, convert_options=_TYPES, read_options=_ONE_THREAD)
    except _WRONG as err:
        raise DataError(_what_is_wrong(where, path, str(err))) from err


def _what_is_wrong(where: str, path: Path, reason: str) -> str:
    """Read a file again that could not be parsed, and describe the error."""
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
