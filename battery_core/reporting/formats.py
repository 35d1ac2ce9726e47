"""Numbers as text: one format for each kind of number in tables, cards and figures."""

from __future__ import annotations

from collections.abc import Sequence

_NOT_FINITE = "not finite"


def number(value: float | None, unit: str = "") -> str:
    """Return a number with two decimals and its unit; a missing or infinite one in words.

    Example:
        >>> number(1.234), number(None), number(float("inf"), "%")
        ('1.23', 'not finite', 'not finite')
    """
    if value is None or not abs(value) < float("inf"):
        return _NOT_FINITE
    return f"{value:.2f} {unit}".rstrip()


def percent(value: float | None) -> str:
    """Return an error in %.

    Example:
        >>> percent(1.234), percent(None)
        ('1.23 %', 'not finite')
    """
    return number(value, "%")


def points(value: float | None) -> str:
    """Return an error in SOH points.

    Example:
        >>> points(0.5)
        '0.50 pt'
    """
    return number(value, "pt")


def percent_interval(low: float | None, high: float | None) -> str:
    """Return an interval in %; a single cell has none.

    Example:
        >>> percent_interval(0.391, 0.634), percent_interval(None, None)
        ('0.39 to 0.63 %', 'no interval')
    """
    return "no interval" if low is None or high is None else f"{low:.2f} to {high:.2f} %"


def temperature(value: object) -> str:
    """Return an ambient temperature with its unit.

    Example:
        >>> temperature(25.0), temperature(float("nan"))
        ('25 °C', 'temperature not stated')
    """
    return f"{value:g} °C" if isinstance(value, int | float) and value == value else "temperature not stated"


def short_list(names: Sequence[object], most: int) -> str:
    """Return names separated by commas; the number of those left out at the end.

    Example:
        >>> short_list(["a", "b", "c"], 2)
        'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(str(name) for name in names[:most]) + more
