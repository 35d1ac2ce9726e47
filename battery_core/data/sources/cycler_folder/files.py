"""Reader of one cycler file: Battery Data Format, a plain table with a column map, or a vendor's export."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from battery_core.data.cycler_settings import CyclerSettings
from battery_core.data.cycling.physics import Column
from battery_core.data.cycling.record import Record
from battery_core.data.sources.cycler_folder import text as texts
from battery_core.errors import DataChangingError, DataError
from battery_core.units import convert, split_header

UNITS = {"time_s": "s", "voltage_V": "V", "current_A": "A", "temperature_degC": "degC"}
BDF = "BDF"
# canonical -> (preferred label, machine-readable name); units are fixed by the format
_BDF_COLUMNS = {
    "time_s": ("Test Time / s", "test_time_second"),
    "voltage_V": ("Voltage / V", "voltage_volt"),
    "current_A": ("Current / A", "current_ampere"),
    "temperature_degC": ("Surface Temperature T1 / degC", "temperature_t1_celsius"),
    "ambient_degC": ("Ambient Temperature / degC", "ambient_temperature_celsius"),
    "cycle": ("Cycle Count / 1", "cycle_count"),
    "unix_s": ("Unix Time / s", "unix_time_second"),
}
_NEEDED = frozenset({"time_s", "voltage_V", "current_A"})
_UNIX_YEARS_1990_2100 = (6.3e8, 4.2e9)
_MOST_BLANK = 0.01  # share of rows without a value
_VENDOR_IS_SURE = 0.5  # below it batterydf goes by the file's ending alone
_VENDOR_FAULTS = (ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError, ImportError, OSError)


@dataclass(frozen=True)
class Export:
    """Store the content of one file.

    Args:
        name: file name.
        kind: its format, in words.
        record: the samples, current as the file has it.
        columns: canonical column -> the file's own, for messages.
        is_plain: read with the column map of the settings, so that its unit and sign are settings, too.
        starts_at_s: Unix time of the first row, or None where the file does not tell.
        notes: what was left out, in words, by rule.
    """

    name: str
    kind: str
    record: Record
    columns: Mapping[str, Column]
    is_plain: bool
    starts_at_s: float | None
    notes: tuple[tuple[str, str], ...] = ()


def read_export(path: Path, settings: CyclerSettings, where: str) -> Export:
    """Read one file of any supported format.

    Raises:
        DataError: it is none of the formats, or not complete; the message states what was expected and the remedy.
        DataChangingError: it changed while it was read.
    """
    before = path.stat()
    export = _read(path, settings, where)
    after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise DataChangingError(
            f"{where}, file '{path.name}': it changed while it was read - run again when it is at rest"
        )
    return export


def _read(path: Path, settings: CyclerSettings, where: str) -> Export:
    head = texts.read_head(path, settings.max_file_MB, where)
    here = f"{where}, file '{path.name}'"
    if head is None and _begins(path, b"PAR1"):
        return _from_parquet(path, settings, here)
    plain = {name: (header,) for name, header in settings.columns.named_headers().items()}
    if head is not None:
        if layout := texts.find_layout(head, _BDF_COLUMNS, _NEEDED, here):
            return _from_text(path, layout, settings, here, BDF)
        if plain and (layout := texts.find_layout(head, plain, frozenset(plain), here)):
            return _from_text(path, layout, settings, here, "plain table")
    return _from_vendor(path, settings, here, head)


def _begins(path: Path, mark: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(mark)) == mark


def _from_text(path: Path, layout: texts.Layout, settings: CyclerSettings, here: str, kind: str) -> Export:
    values, is_cut = texts.read_columns(path, layout, here)
    headers = {name: layout.headers[i] for name, i in layout.positions.items()}
    unit_row = {name: layout.unit_row[i] for name, i in layout.positions.items()} if layout.unit_row else {}
    notes = (("cut_last_row", "the last row is cut off and left out: the file was still being written"),)
    return _export(path, kind, dict(values), headers, unit_row, settings, here, notes if is_cut else ())


def _from_parquet(path: Path, settings: CyclerSettings, here: str) -> Export:
    try:
        file = pq.ParquetFile(path)
        headers_by_key = {texts.key(name): name for name in file.schema_arrow.names}
        plain = {name: (header,) for name, header in settings.columns.named_headers().items()}
        for kind, wanted, needed in ((BDF, _BDF_COLUMNS, _NEEDED), ("plain table", plain, frozenset(plain))):
            headers = {
                n: headers_by_key[texts.key(o)]
                for n, names in wanted.items()
                for o in names
                if texts.key(o) in headers_by_key
            }
            if needed and needed <= headers.keys():
                table = file.read(columns=list(headers.values())).to_pandas()
                return _export(path, kind, {n: table[h] for n, h in headers.items()}, headers, {}, settings, here, ())
    except (pa.ArrowInvalid, OSError) as err:
        raise DataError(
            f"{here}: the Parquet file is damaged or cut ({str(err).splitlines()[0]}) - copy it again"
        ) from err
    raise DataError(f"{here}: {_no_format(list(headers_by_key.values()), 'a Parquet file', settings)}")


def _from_vendor(path: Path, settings: CyclerSettings, here: str, head: tuple[str, str, bool] | None) -> Export:
    if importlib.util.find_spec("bdf") is None:
        raise DataError(
            f"{here}: {_no_format(_headers(head), 'not read without batterydf', settings)}; vendor exports need it: "
            'pip install -c constraints.txt -e ".[cycler]"'
        )
    import bdf  # type: ignore[import-untyped, unused-ignore]

    guess = bdf.detect(path)
    if guess.confidence <= _VENDOR_IS_SURE:
        raise DataError(f"{here}: {_no_format(_headers(head), 'no vendor format that batterydf knows', settings)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = bdf.read(path, plugin=guess.id, validate=False)
    except _VENDOR_FAULTS as err:
        text = " ".join(str(err).split())[:200]
        raise DataError(
            f"{here}: looks like {guess.id}, which batterydf cannot read ({text}) - export it again"
        ) from err
    headers_by_key = {texts.key(str(name)): str(name) for name in table.columns}
    headers = {
        n: headers_by_key[texts.key(o)]
        for n, names in _BDF_COLUMNS.items()
        for o in names
        if texts.key(o) in headers_by_key
    }
    if missing := sorted(_NEEDED - headers.keys()):
        raise DataError(
            f"{here}: looks like {guess.id}, but has no {missing[0]}; found {', '.join(headers_by_key.values())}"
        )
    if "ambient_degC" in headers:  # what vendors call temperature; some name the electronics' "surface"
        headers.pop("temperature_degC", None)
    values = {name: pd.to_numeric(table[header], errors="coerce") for name, header in headers.items()}
    return _export(path, f"{guess.id} (batterydf)", values, headers, {}, settings, here, ())


def _headers(head: tuple[str, str, bool] | None) -> list[str]:
    """Return the fields of the line that looks most like a header, for the message."""
    if head is None:
        return []
    rows = [line.split(mark) for line in head[0].splitlines()[:200] for mark in texts.DELIMITERS if mark in line]
    words = [row for row in rows if not any(texts.is_number(field) for field in row)]
    first = [line for line in head[0].splitlines()[:1] if line.strip()]  # separated by something unknown
    return [field.strip()[:200] for field in max(words or rows or [first], key=len)[:12]]


def _no_format(headers: list[str], reason: str, settings: CyclerSettings) -> str:
    if not headers:
        return f"binary, and {reason} - export it as CSV"
    mapped_headers = settings.columns.named_headers()
    keys = {texts.key(name) for name in headers}
    missing = [header for header in mapped_headers.values() if texts.key(header) not in keys]
    if mapped_headers and len(missing) < len(mapped_headers):
        return (
            f"no column '{missing[0]}', as data.cycler.columns names it; found {', '.join(headers)} - correct the name"
        )
    mapped = "data.cycler.columns fits no column" if mapped_headers else "data.cycler.columns is not set"
    return (
        f"not Battery Data Format, {reason}, and {mapped}; found {', '.join(headers)} - name the columns of time_s, "
        "voltage_V and current_A in params.yaml under data.cycler.columns"
    )


def _export(
    path: Path,
    kind: str,
    values: dict[str, Any],
    headers: Mapping[str, str],
    unit_row: Mapping[str, str],
    settings: CyclerSettings,
    here: str,
    notes: tuple[tuple[str, str], ...],
) -> Export:
    """Return columns in canonical units; rows without a value are left out and counted."""
    is_plain = kind == "plain table"
    if "ambient_degC" in values:
        values.setdefault("temperature_degC", values.pop("ambient_degC"))
        headers = {"temperature_degC": headers["ambient_degC"], **headers}
    started = _started(values, here)
    columns = {}
    for name, unit in UNITS.items():
        if name in values:
            stated = _unit(name, headers[name], unit_row.get(name, ""), settings, here) if is_plain else unit
            setting = f"data.cycler.units.{name}" if is_plain else ""
            columns[name] = Column(path.name, headers[name], stated, setting)
            try:
                values[name] = np.asarray(convert(np.asarray(values[name], dtype=np.float64), stated, unit))
            except DataError as err:
                raise DataError(f"{here}, column '{headers[name]}': {err}, or set data.cycler.units.{name}") from err
    needed = [values[name] for name in ("time_s", "voltage_V", "current_A")]
    is_whole = np.isfinite(np.column_stack(needed)).all(axis=1)
    notes += _blank(is_whole, here)
    temperature = values.get("temperature_degC", np.full(len(is_whole), np.nan))
    cycle = np.asarray(values["cycle"], dtype=np.float64)[is_whole] if "cycle" in values else None
    time, voltage, current = (array[is_whole] for array in needed)
    record = Record(time, voltage, current, temperature[is_whole], cycle)
    return Export(path.name, kind, record, columns, is_plain, started, notes)


def _unit(name: str, header: str, below: str, settings: CyclerSettings, here: str) -> str:
    """Return the unit of a plain column: from the settings, the header, or the row below it; never a guess."""
    stated = getattr(settings.units, name) or header_unit(header) or below
    if not stated:
        raise DataError(
            f"{here}, column '{header}': expected its unit, as in '{header} [{UNITS[name]}]'; found none - "
            f"set data.cycler.units.{name}"
        )
    return str(stated)


def header_unit(header: str) -> str:
    """Return the unit that a header states in brackets or after a slash; empty when there is none.

    Example:
        >>> header_unit("Time [min]"), header_unit("I/mA"), header_unit("Voltage / V"), header_unit("Time")
        ('min', 'mA', 'V', '')
    """
    return split_header(header)[1] or (header.rpartition("/")[2].strip() if "/" in header else "")


def _blank(is_whole: Any, here: str) -> tuple[tuple[str, str], ...]:
    """Return a note on rows without time, voltage or current; refuse a file with many of them."""
    last = int(np.flatnonzero(is_whole)[-1]) + 1 if is_whole.any() else 0
    blank = int((~is_whole[:last]).sum())  # empty lines at the end are nothing
    if last == 0 or blank > _MOST_BLANK * len(is_whole):
        raise DataError(
            f"{here}: {blank if last else len(is_whole)} of {len(is_whole)} rows have no time, voltage or current - "
            "export the time series, not the step summary"
        )
    return (("blank_rows", f"{blank} row(s) without time, voltage or current are left out"),) if blank else ()


def _started(values: dict[str, Any], here: str) -> float | None:
    """Return the Unix time of the first row; without a test time, it is taken from date and time."""
    if "date_time" in values:
        try:
            moments = pd.to_datetime(pd.Series(values.pop("date_time")), format="ISO8601", utc=True)
        except ValueError as err:
            raise DataError(
                f"{here}: data.cycler.columns.date_time: expected ISO date and time, as 2026-01-31 12:00:00 ({err})"
            ) from err
        values["unix_s"] = (moments - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
    stamps = np.asarray(values.pop("unix_s", []), dtype=np.float64)
    stamps = stamps[np.isfinite(stamps)][:1]
    is_date = len(stamps) and _UNIX_YEARS_1990_2100[0] < stamps[0] < _UNIX_YEARS_1990_2100[1]
    return float(stamps[0]) if is_date else None
