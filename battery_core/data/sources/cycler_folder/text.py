"""Parser of text tables of cyclers and spreadsheets: header, separator and numbers."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.errors import DataError

Array = npt.NDArray[np.float64]
DELIMITERS = (",", ";", "\t", "|")
_HEAD_BYTES = 1 << 16
_HEADER_LINES = 200  # vendors write a preamble
_CHUNK = 1 << 20
_GZIP, _UTF16 = b"\x1f\x8b", (b"\xff\xfe", b"\xfe\xff")
_COMMA_NUMBER = re.compile(r"^\s*[-+]?\d*,\d+(?:[eE][-+]?\d+)?\s*$")
_CLOCK = re.compile(r"^\s*\d+:\d\d:\d\d(?:[.,]\d+)?\s*$")


@dataclass(frozen=True)
class Layout:
    """Describe the format of a text table.

    Args:
        headers: header of every column, as in the file.
        positions: wanted column -> its position.
        unit_row: unit of each column from a second header row; empty where there is none.
        first_row: number of lines above the data.
        delimiter, decimal, encoding: as pandas names them.
        is_gzip: whether it is packed.
    """

    headers: tuple[str, ...]
    positions: Mapping[str, int]
    unit_row: tuple[str, ...]
    first_row: int
    delimiter: str
    decimal: str
    encoding: str
    is_gzip: bool


def read_head(path: Path, limit_MB: float, where: str) -> tuple[str, str, bool] | None:
    """Read the start of a text file, its encoding and compression; return None where it is no text.

    Raises:
        DataError: the file is empty, larger than the limit, may not be read, or is a damaged gzip.
    """
    limit, size = limit_MB * 1e6, path.stat().st_size
    if size == 0:
        raise DataError(f"{where}, file '{path.name}': it is empty (0 bytes) - export or copy it again")
    try:
        with path.open("rb") as stream:
            is_gzip = stream.read(2) == _GZIP
        if is_gzip:
            size = _unpacked_size(path, limit, where)
        with gzip.open(path, "rb") if is_gzip else path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except PermissionError as err:
        raise DataError(f"{where}, file '{path.name}': no permission to read it - let this user read it") from err
    if size > limit:
        raise DataError(
            f"{where}, file '{path.name}': {size / 1e6:.0f} MB, at most {limit_MB:g} MB are read into memory - "
            "export it in parts, or raise data.cycler.max_file_MB"
        )
    if head.startswith(_UTF16):
        return head.decode("utf-16", errors="ignore"), "utf-16", is_gzip
    if b"\x00" in head:
        return None
    try:
        return head.decode("utf-8-sig"), "utf-8-sig", is_gzip
    except UnicodeDecodeError as err:
        if err.start > len(head) - 4 and len(head) == _HEAD_BYTES:  # only cut in the middle of a character
            return head[: err.start].decode("utf-8-sig"), "utf-8-sig", is_gzip
        return head.decode("cp1252", errors="replace"), "cp1252", is_gzip


def _unpacked_size(path: Path, limit: float, where: str) -> int:
    """Count the unpacked bytes of a gzip file, up to the limit."""
    size = 0
    try:
        with gzip.open(path, "rb") as stream:
            while size <= limit and (chunk := stream.read(_CHUNK)):
                size += len(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as err:
        raise DataError(f"{where}, file '{path.name}': gzip damaged or cut ({err}) - copy it again") from err
    return size


def key(header: str) -> str:
    """Return a header in lower case, without quotes and extra blanks.

    Example:
        >>> key(' "Time  [s]" ')
        'time [s]'
    """
    return " ".join(header.strip().strip('"').split()).casefold()


def find_layout(
    head: tuple[str, str, bool], wanted: Mapping[str, tuple[str, ...]], required: frozenset[str], where: str
) -> Layout | None:
    """Find the first line with every required column, for any separator; return None where there is none.

    Raises:
        DataError: a required header occurs twice, or rows have more fields than the header.
    """
    text, encoding, is_gzip = head
    lines = text.splitlines()
    for number, line in enumerate(lines[:_HEADER_LINES]):
        for delimiter in DELIMITERS:
            headers = _fields(line, delimiter)
            keys = [key(header) for header in headers]
            positions = {name: keys.index(key(o)) for name, names in wanted.items() for o in names if key(o) in keys}
            if not required <= positions.keys():
                continue
            for name, position in positions.items():
                if keys.count(keys[position]) > 1:
                    raise DataError(
                        f"{where}: column '{headers[position]}' is there {keys.count(keys[position])} times; expected "
                        f"one for {name} - rename or remove the others"
                    )
            return _finish(lines, number, delimiter, tuple(headers), positions, encoding, is_gzip, where)
    return None


def _finish(
    lines: list[str],
    number: int,
    delimiter: str,
    headers: tuple[str, ...],
    positions: Mapping[str, int],
    encoding: str,
    is_gzip: bool,
    where: str,
) -> Layout:
    below = [_fields(line, delimiter) for line in lines[number + 1 : number + 4] if line.strip()]
    if not below:
        raise DataError(f"{where}: a header and no rows below it - is the export finished?")
    unit_row: tuple[str, ...] = ()
    first = below[0]
    if len(first) >= len(headers) and not any(is_number(first[i]) for i in positions.values()):
        unit_row, below = tuple(field.strip().strip("[]()") for field in first), below[1:]
    if below and len([*below[0]]) > len(headers) and "".join(below[0][len(headers) :]).strip():
        raise DataError(
            f"{where}: rows have {len(below[0])} fields, the header {len(headers)}, separated by '{delimiter}' - are "
            "there decimal commas? Export with decimal points or with ';' between the columns"
        )
    values = [row[i] for row in below for i in positions.values() if i < len(row)]
    decimal = "," if delimiter != "," and any(_COMMA_NUMBER.match(value.strip('"')) for value in values) else "."
    skipped = number + 1 + bool(unit_row)
    return Layout(headers, positions, unit_row, skipped, delimiter, decimal, encoding, is_gzip)


def _fields(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def is_number(field: str) -> bool:
    """Return whether a field is a number, a clock time, a date or blank.

    Example:
        >>> is_number("3,65"), is_number("0:10:00"), is_number("mV")
        (True, True, False)
    """
    try:
        float(field.strip().strip('"').replace(",", ".") or "nan")
    except ValueError:
        return _CLOCK.match(field) is not None or bool(re.match(r"^\s*\"?\d{2,4}[-/.]\d", field))
    return True


def read_columns(path: Path, layout: Layout, where: str) -> tuple[dict[str, Array | pd.Series[str]], bool]:
    """Read the required columns as numbers (``date_time`` as text), and whether the last row is cut off.

    Raises:
        DataError: something that is not a number, rows of differing length, or text in another encoding.
    """
    names = {position: name for name, position in layout.positions.items()}
    try:
        table = pd.read_csv(
            path,
            sep=layout.delimiter,
            decimal=layout.decimal,
            encoding=layout.encoding,
            compression="gzip" if layout.is_gzip else None,
            header=None,
            names=range(len(layout.headers)),
            usecols=sorted(names),
            skiprows=layout.first_row,
            skip_blank_lines=False,
            index_col=False,
            low_memory=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as err:
        raise DataError(f"{where}: not a table with one header and even rows ({str(err).strip()}) - mend it") from err
    except UnicodeDecodeError as err:
        raise DataError(f"{where}: not {layout.encoding} text from start to end ({err}) - save it as UTF-8") from err
    _check_width(path, layout, where)
    is_cut = _last_row_is_cut(path, layout, table)
    if is_cut:
        table = table.iloc[:-1]
    columns: dict[str, Array | pd.Series[str]] = {}
    for position, name in names.items():
        values = table[position]
        columns[name] = values.astype(str) if name == "date_time" else _numbers(values, name, position, layout, where)
    return columns, is_cut


def _check_width(path: Path, layout: Layout, where: str) -> None:
    """Check that no row has more fields than the header; pandas would drop the rest without a warning."""
    most = len(layout.headers) - 1
    with gzip.open(path, "rb") if layout.is_gzip else path.open("rb") as stream:
        for number, line in enumerate(io.TextIOWrapper(stream, encoding=layout.encoding, errors="replace"), start=1):
            if number > layout.first_row and line.count(layout.delimiter) > most:
                fields = _fields(line, layout.delimiter)
                if "".join(fields[most + 1 :]).strip():
                    raise DataError(
                        f"{where}, line {number}: {len(fields)} fields, the header has {most + 1} - mend the row, or "
                        "export it again"
                    )


def _last_row_is_cut(path: Path, layout: Layout, table: pd.DataFrame) -> bool:
    """Return whether the last line has no line end and lacks a value: it was still being written."""
    if layout.is_gzip or not table.iloc[-1].isna().any() or table.iloc[-1].isna().all():
        return False
    with path.open("rb") as stream:
        stream.seek(-1, 2)
        return stream.read(1) not in (b"\n", b"\r", b"\x00")


def _numbers(values: pd.Series[str], name: str, position: int, layout: Layout, where: str) -> Array:
    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    text = values.astype("string").str.strip()
    if name == "time_s" and text.dropna().str.match(_CLOCK.pattern).all():
        clock = pd.to_timedelta(text.str.replace(",", ".")).dt.total_seconds()
        return np.asarray(clock, dtype=np.float64)
    numbers = pd.to_numeric(text.str.replace(",", ".") if layout.decimal == "," else text, errors="coerce")
    wrong = np.flatnonzero((numbers.isna() & text.notna() & (text != "")).to_numpy())
    if len(wrong):
        header, line, word = layout.headers[position], layout.first_row + int(wrong[0]) + 1, text.iloc[int(wrong[0])]
        if key(str(word)) == key(header):
            raise DataError(f"{where}: line {line} repeats the header - two exports in one file: split them")
        raise DataError(
            f"{where}, column '{header}', line {line}: expected a number, got '{word}' ({len(wrong)} such row(s)) - "
            "mend it, or leave these rows out of the export"
        )
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)
