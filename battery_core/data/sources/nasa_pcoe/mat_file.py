"""Reader of a MAT v5 file of the NASA battery records: charges, discharges and impedance in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.io

from battery_core.errors import DataError

Array = npt.NDArray[np.float64]
KINDS = ("charge", "discharge", "impedance")
# field of the file -> canonical name; V, A, degC and s there
_SERIES = {
    "Time": "time_s",
    "Voltage_measured": "voltage_V",
    "Current_measured": "current_A",
    "Temperature_measured": "temperature_degC",
}
_VALUES = {"Capacity": "capacity_Ah", "Re": "re_ohm", "Rct": "rct_ohm"}


@dataclass(frozen=True)
class MatRecord:
    """Store one entry of the file as measured.

    Args:
        kind: charge, discharge or impedance.
        begins: date and time of its first sample.
        ambient_degC: temperature of the chamber.
        series: time_s, voltage_V, current_A (charge positive), temperature_degC, shape (N,) each; none of impedance.
        values: capacity_Ah of a discharge, re_ohm and rct_ohm of an impedance; NaN where missing or empty.
        samples_lost: samples without a finite time, voltage or current, which are not in ``series``.
    """

    kind: str
    begins: datetime
    ambient_degC: float
    series: Mapping[str, Array]
    values: Mapping[str, float]
    samples_lost: int = 0


def read_records(path: Path, cell_id: str) -> list[MatRecord]:
    """Read all records of one cell, in the order of the file.

    Raises:
        DataError: it is not a MAT v5 file, or not of this cell, or a record is not what it should be.
    """
    where = f"cell '{cell_id}', source 'nasa_pcoe': {path.name}"
    content = _load(path, where)
    if cell_id not in content:
        names = ", ".join(name for name in content if not name.startswith("__")) or "nothing"
        raise DataError(f"{where}: expected a variable '{cell_id}', found {names} - give the file the name of its cell")
    try:
        cycles = np.atleast_1d(content[cell_id].cycle)
        return [_record(cycle) for cycle in cycles]
    except (AttributeError, TypeError, ValueError) as err:
        raise DataError(
            f"{where}: expected cycle[] with type, ambient_temperature, time and data ({err}) - fetch it again"
        ) from err


def _load(path: Path, where: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = scipy.io.loadmat(str(path), squeeze_me=True, struct_as_record=False)
    except (ValueError, TypeError, KeyError, IndexError, EOFError, NotImplementedError, OSError) as err:
        if isinstance(err, PermissionError):
            raise
        raise DataError(f"{where} is not a whole MAT v5 file ({' '.join(str(err).split())}) - fetch it again") from err
    except scipy.io.matlab.MatReadError as err:
        raise DataError(f"{where} is empty or not a whole MAT v5 file ({err}) - fetch it again") from err
    return content


def _record(cycle: Any) -> MatRecord:
    kind = str(cycle.type)
    if kind not in KINDS:
        raise ValueError(f"type is '{kind}', expected {', '.join(KINDS)}")
    series: dict[str, Array] = {}
    lost = 0
    if kind != "impedance":
        series = {name: _numbers(getattr(cycle.data, field)) for field, name in _SERIES.items()}
        if len({len(values) for values in series.values()}) != 1:
            raise ValueError(f"series of a {kind} differ in length")
        there = np.isfinite(series["time_s"]) & np.isfinite(series["voltage_V"]) & np.isfinite(series["current_A"])
        lost = int((~there).sum())
        series = {name: values[there] for name, values in series.items()}
    values = {
        name: _number(getattr(cycle.data, field)) for field, name in _VALUES.items() if hasattr(cycle.data, field)
    }
    return MatRecord(kind, _date(cycle.time), float(cycle.ambient_temperature), series, values, lost)


def _numbers(values: Any) -> Array:
    """Return a series, also where the file stores a single number or none."""
    return np.atleast_1d(np.asarray(values, dtype=np.float64))


def _number(value: Any) -> float:
    """Return one number; NaN for an empty field or a complex value, which is no measurement."""
    numbers = np.atleast_1d(value)
    if numbers.size != 1 or np.iscomplexobj(numbers):
        return float("nan")
    return float(numbers[0])


def _date(vector: Any) -> datetime:
    """Convert MATLAB's date vector: year, month, day, hour, minute, seconds with fraction."""
    year, month, day, hour, minute, second = (float(part) for part in np.atleast_1d(vector))
    start = datetime(int(year), int(month), int(day))  # the file states no zone
    return start + timedelta(hours=hour, minutes=minute, seconds=second)
