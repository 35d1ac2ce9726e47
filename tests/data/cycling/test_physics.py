"""Units and signs that cannot be are refused, with the suspect column and what to set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from battery_core.data.cycling import physics
from battery_core.data.cycling.physics import Column
from battery_core.data.cycling.record import Record
from battery_core.errors import DataError

REST_A = 0.004
CURRENT = Column("a.csv", "I", "A", "data.cycler.units.current_A")
VOLTAGE = Column("a.csv", "U", "V", "data.cycler.units.voltage_V")


def time_column(unit):
    return Column("a.csv", "t", unit, "data.cycler.units.time_s")


def test_right_units_pass(cycled_cell):
    record, _ = cycled_cell
    physics.check_voltage(record, VOLTAGE, "cell 'A'", REST_A)
    physics.check_current(record, 2.0, CURRENT, "cell 'A'")
    physics.check_time(record, time_column("s"), "cell 'A'")
    physics.check_time_unit(record, 2.0, time_column("s"), "cell 'A'", 900.0)


def test_millivolts_read_as_volts(cycled_cell):
    record, _ = cycled_cell
    with pytest.raises(
        DataError, match=r"cell 'A', file 'a.csv', column 'U': .* 0.5 to 6 V, got a median of 3\d\d\d.*"
    ):
        physics.check_voltage(replace(record, voltage_V=record.voltage_V * 1e3), VOLTAGE, "cell 'A'", REST_A)
    with pytest.raises(DataError, match=r"if it is mV, set data\.cycler\.units\.voltage_V: mV"):
        physics.check_voltage(replace(record, voltage_V=record.voltage_V * 1e3), VOLTAGE, "cell 'A'", REST_A)
    with pytest.raises(DataError, match=r"if it is V, set data\.cycler\.units\.voltage_V: V"):
        physics.check_voltage(replace(record, voltage_V=record.voltage_V / 1e3), VOLTAGE, "cell 'A'", REST_A)
    with pytest.raises(DataError, match="is it the voltage of one cell"):
        physics.check_voltage(replace(record, voltage_V=record.voltage_V * 12), VOLTAGE, "cell 'A'", REST_A)


@pytest.mark.parametrize(("factor", "advice"), [(1e3, "mA"), (1e-3, "A")])
def test_current_a_thousand_times_off(cycled_cell, factor, advice):
    record, _ = cycled_cell
    wrong = replace(record, current_A=record.current_A * factor)
    with pytest.raises(DataError, match=rf"column 'I'.* if it is {advice}, set data.cycler.units.current_A: {advice}"):
        physics.check_current(wrong, 2.0, CURRENT, "cell 'A'")


def test_a_format_with_fixed_units_gets_other_advice(cycled_cell):
    record, _ = cycled_cell
    wrong = replace(record, current_A=record.current_A * 1e3)
    with pytest.raises(DataError, match="if it is mA, export the file again in A"):
        physics.check_current(wrong, 2.0, Column("a.csv", "Current / A", "A"), "cell 'A'")


@pytest.mark.parametrize(("true", "read_as"), [("min", "s"), ("h", "s"), ("ms", "s"), ("s", "min"), ("h", "min")])
def test_a_wrong_unit_of_time_is_named(cycled_cell, true, read_as):
    record, _ = cycled_cell
    seconds = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
    wrong = replace(record, time_s=record.time_s / seconds[true] * seconds[read_as])
    gap = 900.0 * seconds[read_as] / seconds[true]  # the same samples are no hole
    with pytest.raises(
        DataError, match=rf"column 't'.*time in {read_as} - if it is {true}, set data.cycler.units.time_s: {true}"
    ):
        physics.check_time_unit(wrong, 2.0, time_column(read_as), "cell 'A'", gap)


def test_time_that_runs_back_is_named_with_its_row(cycled_cell):
    record, _ = cycled_cell
    time = record.time_s.copy()
    time[10] = time[5]
    with pytest.raises(DataError, match=r"got 300 s after 540 s in data row 11 \(1 such step\(s\)\) - mend the file"):
        physics.check_time(replace(record, time_s=time), time_column("s"), "cell 'A'")


def test_the_time_of_each_step_is_recognised(cycled_cell):
    record, _ = cycled_cell
    with pytest.raises(DataError, match="looks like the time of each step: name the column of the test time"):
        physics.check_time(replace(record, time_s=record.time_s % 3600.0), time_column("s"), "cell 'A'")


def test_the_voltage_tells_the_sign(cycled_cell):
    record, _ = cycled_cell
    how = {"max_gap_s": 900.0, "rest_A": REST_A}
    assert physics.sign_of_current(record, 2.0, **how) == "charge_positive"
    assert physics.sign_of_current(record.turned(), 2.0, **how) == "charge_negative"
    flat = replace(record, voltage_V=np.full(len(record), 3.3))
    assert physics.sign_of_current(flat, 2.0, **how) == "unknown"
    assert not physics.has_no_sign(record, 2.0, **how)
    assert physics.has_no_sign(replace(record, current_A=np.abs(record.current_A)), 2.0, **how)


def test_a_file_with_one_charge_has_a_sign(cycled_cell):
    record, _ = cycled_cell
    first = np.flatnonzero(record.current_A < 0)[0]
    charge = Record(*(getattr(record, n)[:first] for n in ("time_s", "voltage_V", "current_A", "temperature_degC")))
    assert not physics.has_no_sign(charge, 2.0, max_gap_s=900.0, rest_A=REST_A)
