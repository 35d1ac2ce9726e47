"""Input validation: refuse rows with missing columns, other units or values out of all proportion."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from battery_core.errors import DataError
from battery_core.units import convert, split_header

if TYPE_CHECKING:
    import pandas as pd

_OFTEN = {"V": "mV", "A": "mA", "Ah": "mAh", "ohm": "mohm", "degC": "K", "s": "min", "days": "h"}
"""Units of our names, and what the same quantity is often given in."""
_FAR = 30.0  # a median this many times beyond the training range is no odd cell


def check_columns(rows: pd.DataFrame, wanted: Sequence[str], context: str) -> None:
    """Check that rows have the measured columns of a model.

    Raises:
        DataError: one is missing; where it is there in another unit, that column and the conversion are named.
    """
    missing = [name for name in wanted if name not in rows]
    if not missing:
        return
    names = [str(name) for name in rows.columns]
    hints = [hint for hint in (_mistaken(name, names) for name in missing) if hint]
    if not hints:
        units = (_expected(name) for name in missing)
        hints = ["give the measured columns of the model's signature" + "".join(f"; {unit}" for unit in units if unit)]
    raise DataError(f"{context}: missing columns {missing}; found {names} - {'; '.join(hints)}")


def check_magnitudes(rows: pd.DataFrame, limits: Mapping[str, tuple[float, float]], context: str) -> None:
    """Check that values are in the units of their names, by the training range in this and in the usual other unit.

    The median of all rows decides, and only where it is far out and the other unit would fit: a bad reading among many
    or an unusual cell is let through (it is flagged as out of distribution).

    Raises:
        DataError: a column seems to be in another unit.
    """
    for name, (low, high) in limits.items():
        unit = _split_name(name)[1]
        if unit not in _OFTEN:
            continue
        values = rows[name].to_numpy(dtype=np.float64)
        if 2 * np.count_nonzero((values >= low) & (values <= high)) > len(values):
            continue  # so the median is within, too; counting is a fraction of the sorting that a median takes
        values = values[np.isfinite(values)]
        if len(values) == 0 or low <= (median := float(np.median(values))) <= high:
            continue
        other = _OFTEN[unit]
        if low <= convert(median, other, unit) <= high and _is_far(median, low, high, unit):
            _refuse(context, name, median, (low, high), unit, other)


def _is_far(median: float, low: float, high: float, unit: str) -> bool:
    """Return whether a median is far from the range: a temperature by more than any cell bears, others by a factor."""
    if unit == "degC":
        return median > high + 100.0
    return abs(median) > _FAR * max(abs(low), abs(high)) or 0.0 < _FAR * median < low


def _refuse(context: str, name: str, median: float, limits: tuple[float, float], unit: str, other: str) -> NoReturn:
    low, high = limits
    raise DataError(
        f"{context}: column '{name}' has the median {median:.4g}, training had {low:.4g} to {high:.4g} {unit}: it "
        f"seems to be in {other} - {_conversion(other, unit)}"
    )


def _mistaken(name: str, columns: Iterable[str]) -> str:
    """Return what to do with the same column in another unit or spelling; empty where there is none."""
    stem, unit = _split_name(name)
    for column in columns:
        other_stem, other = _split_name(column)
        if _plain(other_stem) != _plain(stem):
            continue
        if _plain(other) == _plain(unit):
            return f"'{column}' is there: name it '{name}'"
        if how := _conversion(other, unit):
            return f"'{column}' is there in {other}: {how} and name it '{name}'"
    return ""


def _expected(name: str) -> str:
    """Return the expected unit of a column, and the conversion from the usual other one."""
    unit = _split_name(name)[1]
    return f"'{name}' in {unit} (from {_OFTEN[unit]}: {_conversion(_OFTEN[unit], unit)})" if unit in _OFTEN else ""


def _conversion(from_unit: str, to_unit: str) -> str:
    """Return the conversion of a value, in words; empty when the units measure different things or are unknown.

    Example:
        >>> _conversion("mAh", "Ah"), _conversion("K", "degC"), _conversion("V", "Ah")
        ('multiply by 0.001', 'subtract 273.15', '')
    """
    try:
        zero, one = convert(0.0, from_unit, to_unit), convert(1.0, from_unit, to_unit)
    except DataError:  # not a unit, or of another quantity: then the names differ in more than the unit
        return ""
    shift = "" if zero == 0 else f"subtract {-zero:g}" if zero < 0 else f"add {zero:g}"
    factor = "" if abs(one - zero - 1) < 1e-9 else f"multiply by {one - zero:g}"
    return " and ".join(part for part in (factor, shift) if part)


def _split_name(name: str) -> tuple[str, str]:
    """Return name and unit of a column, from ``voltage_mean_V`` or ``Voltage mean (V)``.

    Example:
        >>> names = ["voltage_mean_mV", "Voltage mean [mV]", "voltage_slope_V_per_s", "group"]
        >>> tuple(map(_split_name, names))
        (('voltage_mean', 'mV'), ('Voltage mean', 'mV'), ('voltage_slope', 'V_per_s'), ('group', ''))
    """
    stem, unit = split_header(name)
    if unit:
        return stem, unit
    match = re.fullmatch(r"(?P<stem>.+?)_(?P<unit>[^_]+(_per_[^_]+)?)", name)
    return (match["stem"], match["unit"]) if match else (name, "")


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", text.lower())
