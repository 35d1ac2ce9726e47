"""Convert units from the spelling in file headers; readers convert once."""

from __future__ import annotations

import re
from typing import Any

from battery_core.errors import DataError

# unit as spelt in a header (no blanks or dots, lower case) -> (quantity, units in one base unit, zero of the base)
_UNITS: dict[str, tuple[str, float, float]] = {
    "ah": ("charge", 1.0, 0.0),
    "mah": ("charge", 1e3, 0.0),
    "wh": ("energy", 1.0, 0.0),
    "mwh": ("energy", 1e3, 0.0),
    "a": ("current", 1.0, 0.0),
    "ma": ("current", 1e3, 0.0),
    "v": ("voltage", 1.0, 0.0),
    "mv": ("voltage", 1e3, 0.0),
    "ohm": ("resistance", 1.0, 0.0),
    "ohms": ("resistance", 1.0, 0.0),
    "mohm": ("resistance", 1e3, 0.0),
    "mohms": ("resistance", 1e3, 0.0),
    "ms": ("time", 1e3, 0.0),
    "s": ("time", 1.0, 0.0),
    "min": ("time", 1 / 60, 0.0),
    "h": ("time", 1 / 3600, 0.0),
    "d": ("time", 1 / 86400, 0.0),
    "days": ("time", 1 / 86400, 0.0),
    "°c": ("temperature", 1.0, 0.0),
    "degc": ("temperature", 1.0, 0.0),
    "k": ("temperature", 1.0, 273.15),
}
_HEADER = re.compile(r"^\s*(?P<name>.*?)\s*[\[(](?P<unit>[^\])]*)[\])]\s*$")


def split_header(header: str) -> tuple[str, str]:
    """Split a column header into its name and unit; the unit is empty where the header has none.

    Example:
        >>> split_header("Charge Throughput [A h]")
        ('Charge Throughput', 'A h')
        >>> split_header("Charge (mA.h)")
        ('Charge', 'mA.h')
    """
    match = _HEADER.match(header)
    return (match["name"], match["unit"]) if match else (header.strip(), "")


def convert(values: Any, from_unit: str, to_unit: str) -> Any:
    """Convert values (a number, an array, a Series) to another unit of the same quantity.

    Raises:
        DataError: a unit is unknown, or the two measure different quantities.

    Example:
        >>> convert(4850.0, "mA h", "Ah")
        4.85
        >>> convert(25.0, "degC", "K")
        298.15
    """
    source, target = _lookup(from_unit), _lookup(to_unit)
    if source[0] != target[0]:
        raise DataError(f"unit '{from_unit}' measures {source[0]}, not {target[0]} ('{to_unit}'): check the header")
    if source == target:
        return values
    if source[2] == target[2]:
        return values * target[1] / source[1]
    return (values - source[2]) * target[1] / source[1] + target[2]


def _lookup(unit: str) -> tuple[str, float, float]:
    entry = _UNITS.get(re.sub(r"[\s.·]", "", unit).lower())
    if entry is None:
        raise DataError(f"unknown unit '{unit}': expected one of {', '.join(_UNITS)} - state the unit in the header")
    return entry
