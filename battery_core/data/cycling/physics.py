"""Plausibility checks of units and current sign, from the nominal capacity and the voltage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from battery_core.data.cycling.record import Record, passed_charge
from battery_core.errors import DataError

SINGLE_CELL_V = (0.5, 6.0)
"""Median voltage of one cell under current, whatever its chemistry."""
POSSIBLE_C_RATE = (0.004, 30.0)
"""C-rate that cells are cycled at; mA read as A is a thousand times more."""
POSSIBLE_FULL = (0.03, 3.0)
"""Charge of a full half cycle over nominal; minutes read as seconds are sixty times less."""
SURE = 0.9
"""Share of the passed charge that has to agree before the sign of the current is beyond doubt."""
_CLEAR_SWING_V = 0.5  # a full half cycle of any chemistry swings at least this far
_FULL_SHARE = 0.6  # of the voltage range
_LIKELY_C_RATE = (0.05, 5.0)
_TIME_UNITS_s: Mapping[str, float] = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_NEAR = 2.5  # a factor: fade and rate move a full half cycle by less

Sign = Literal["charge_positive", "charge_negative", "unknown"]


@dataclass(frozen=True)
class Column:
    """Describe a column of the file for messages.

    Args:
        file: name of the file.
        header: the column's header.
        unit: the unit it was read in.
        setting: the setting that corrects a wrong unit; empty where the format fixes the unit.
    """

    file: str
    header: str
    unit: str
    setting: str = ""

    def advice(self, unit: str) -> str:
        """Return the remedy if the unit is rather another one."""
        if self.setting:
            return f"if it is {unit}, set {self.setting}: {unit}"
        return f"if it is {unit}, export the file again in {self.unit}, or as a plain table with a column map"


def check_voltage(record: Record, column: Column, where: str, rest_A: float) -> None:
    """Check that the voltage under current lies in the range of a single cell, about 0.5 to 6 V.

    Raises:
        DataError: it does not; millivolts are named where they explain it.
    """
    flowing = np.abs(record.current_A) > rest_A
    median = float(np.median(record.voltage_V[flowing] if flowing.any() else record.voltage_V))
    if SINGLE_CELL_V[0] <= median <= SINGLE_CELL_V[1]:
        return
    likely = "mV" if 500.0 <= median <= 6000.0 else "V" if 0.0005 <= median <= 0.006 else ""
    advice = column.advice(likely) if likely else "is it the voltage of one cell?"
    raise DataError(
        f"{where}, file '{column.file}', column '{column.header}': expected the voltage of one cell, "
        f"{SINGLE_CELL_V[0]:g} to {SINGLE_CELL_V[1]:g} V, got a median of {median:.4g} V - {advice}"
    )


def check_current(record: Record, nominal_Ah: float, column: Column, where: str) -> None:
    """Check that the currents are possible C-rates of a cell of this size; a file with rests only passes.

    Raises:
        DataError: they are not; milliampere are named where they explain it.
    """
    highest = float(np.quantile(np.abs(record.current_A), 0.99)) / nominal_Ah
    if highest == 0.0 or POSSIBLE_C_RATE[0] <= highest <= POSSIBLE_C_RATE[1]:
        return
    likely = "mA" if highest > POSSIBLE_C_RATE[1] else "A"
    raise DataError(
        f"{where}, file '{column.file}', column '{column.header}': expected {POSSIBLE_C_RATE[0]:g} to "
        f"{POSSIBLE_C_RATE[1]:g} times the nominal {nominal_Ah:g} Ah as current, got up to {highest:.3g} times "
        f"({highest * nominal_Ah:.4g} A) - {column.advice(likely)}; else correct the cell's nominal capacity"
    )


def check_time(record: Record, column: Column, where: str) -> None:
    """Check that time never decreases within a file.

    Raises:
        DataError: it does; a column that starts again and again is the time of a step.
    """
    back = np.flatnonzero(np.diff(record.time_s) < 0.0)
    if len(back) == 0:
        return
    row, again = int(back[0]) + 1, float(record.time_s[back[0] + 1])
    hint = "it looks like the time of each step: name the column of the test time" if len(back) > 1 else "mend the file"
    raise DataError(
        f"{where}, file '{column.file}', column '{column.header}': expected time to go on, got {again:.6g} s after "
        f"{record.time_s[row - 1]:.6g} s in data row {row + 1} ({len(back)} such step(s)) - {hint}"
    )


def check_time_unit(record: Record, nominal_Ah: float, column: Column, where: str, max_gap_s: float) -> None:
    """Check the time unit: a half cycle over most of the voltage range passes about the nominal capacity.

    A record without one (partial cycles only) tells nothing.

    Raises:
        DataError: it passes far less or more; the time (or current) unit that explains it is named.
    """
    passed = _most_in_a_swing(record, max_gap_s)
    if passed is None or POSSIBLE_FULL[0] <= (ratio := passed / nominal_Ah) <= POSSIBLE_FULL[1]:
        return
    c_rate = float(np.quantile(np.abs(record.current_A), 0.99)) / nominal_Ah
    advice = "check the units of time and current, and the cell's nominal capacity"
    wanted = _TIME_UNITS_s.get(column.unit, 1.0) / ratio
    for unit, seconds in _TIME_UNITS_s.items():
        if unit != column.unit and 1 / _NEAR < wanted / seconds < _NEAR:
            advice = column.advice(unit)
    if not _LIKELY_C_RATE[0] <= c_rate <= _LIKELY_C_RATE[1]:
        advice += f"; or the current, up to {c_rate:.3g} times nominal, has the wrong unit"
    raise DataError(
        f"{where}, file '{column.file}', column '{column.header}': expected a swing through the voltage range to pass "
        f"about the nominal {nominal_Ah:g} Ah, got {passed:.4g} Ah with the time in {column.unit} - {advice}"
    )


def sign_of_current(record: Record, nominal_Ah: float, *, max_gap_s: float, rest_A: float) -> Sign:
    """Return the sign of the charge current, from the rise of voltage while charge goes in.

    Runs of one sign vote with the charge they pass; shorter ones than 1 % of nominal are left out. Under
    constant voltage a run has no vote.

    Example:
        >>> rising = Record(*np.array([[0.0, 600.0, 1200.0], [3.2, 3.4, 3.6], [-1.0, -1.0, -1.0], [25.0] * 3]))
        >>> sign_of_current(rising, 2.0, max_gap_s=900.0, rest_A=0.01)
        'charge_negative'
    """
    agree = total = 0.0
    for first, last, passed in _runs(record, max_gap_s, rest_A):
        rise = float(record.voltage_V[last] - record.voltage_V[first])
        if abs(passed) > 0.01 * nominal_Ah and abs(rise) > 0.01:
            total += abs(passed)
            agree += abs(passed) if (rise > 0) == (passed > 0) else 0.0
    if total == 0.0 or 1 - SURE < agree / total < SURE:
        return "unknown"
    return "charge_positive" if agree / total >= SURE else "charge_negative"


def has_no_sign(record: Record, nominal_Ah: float, *, max_gap_s: float, rest_A: float) -> bool:
    """Return whether the current has one sign although the voltage clearly rises in some runs and falls in others.

    Then charge and discharge were written alike.
    """
    if (record.current_A < -rest_A).any() == (record.current_A > rest_A).any():
        return False
    steps = np.diff(record.voltage_V) * (np.abs(record.current_A[1:]) > rest_A)
    swing = float(np.ptp(record.voltage_V))
    rise, fall = float(steps[steps > 0].sum()), float(-steps[steps < 0].sum())
    charge, _ = passed_charge(record, max_gap_s, rest_A)
    return swing > _CLEAR_SWING_V and min(rise, fall) > _FULL_SHARE * swing and abs(charge.sum()) > 0.5 * nominal_Ah


def _most_in_a_swing(record: Record, max_gap_s: float) -> float | None:
    """Return the largest charge of a run of one sign over most of the voltage range; None where there is none."""
    span = float(np.ptp(record.voltage_V)) if len(record) else 0.0
    if span < _CLEAR_SWING_V:
        return None
    rest_A = 0.01 * float(np.abs(record.current_A).max(initial=0.0))
    passed = [
        abs(charge)
        for first, last, charge in _runs(record, max_gap_s, rest_A)
        if abs(record.voltage_V[last] - record.voltage_V[first]) > _FULL_SHARE * span
    ]
    return max(passed) if passed else None


def _runs(record: Record, max_gap_s: float, rest_A: float) -> list[tuple[int, int, float]]:
    """Return first sample, last sample and charge passed of each run of one sign under current."""
    charge, _ = passed_charge(record, max_gap_s, rest_A)
    sign = np.where(np.abs(record.current_A) > rest_A, np.sign(record.current_A), 0.0)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(sign)) + 1])
    stops = np.concatenate([starts[1:], [len(sign)]]) - 1
    net = np.concatenate([[0.0], np.cumsum(charge)])
    return [
        (int(a), int(b), float(net[b] - net[a])) for a, b in zip(starts, stops, strict=True) if sign[a] != 0 and b > a
    ]
