"""Charges and discharges are found from the charge that passed, however the record was sampled."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_core.data.cycling.half_cycles import half_cycles, steps, turning_points
from battery_core.data.cycling.record import Record

LIMITS = {"rest_current": 0.002, "min_half_cycle": 0.05, "max_gap_s": 900.0}


def discharged(halves):
    return np.array([half.charge_Ah for half in halves if half.kind == "discharge"])


def test_half_cycles_alternate_and_give_the_capacities_the_cell_had(cycled_cell):
    record, truth = cycled_cell
    halves = half_cycles(record, 2.0, **LIMITS)
    assert [half.kind for half in halves] == ["charge", "discharge"] * 5
    np.testing.assert_allclose(discharged(halves), truth, rtol=1e-3)
    assert halves[1].c_rate(2.0) == pytest.approx(0.1, rel=0.01)
    assert halves[3].c_rate(2.0) == pytest.approx(1.0, rel=0.01)
    assert halves[1].lowest_V == pytest.approx(2.8, abs=0.002)


def test_half_cycles_begin_with_the_sample_before_the_current_and_hold_no_rest_at_the_end(cycled_cell):
    record, _ = cycled_cell
    half = half_cycles(record, 2.0, **LIMITS)[1]
    assert record.current_A[half.start] == 0.0
    assert (record.current_A[half.start + 1 : half.stop] < 0).all()


def test_a_pulse_the_other_way_does_not_cut_a_discharge_in_two(cycled_cell):
    record, truth = cycled_cell
    current = record.current_A.copy()
    middle = np.flatnonzero(current < -1.9)[20:22]  # two minutes of regenerative braking at 1 C
    current[middle] = 2.0
    halves = half_cycles(replace(record, current_A=current), 2.0, **LIMITS)
    assert len(halves) == 10
    given_back = 2 * 2.0 * (2 * 60) / 3600
    assert discharged(halves)[1] == pytest.approx(truth[1] - given_back, rel=2e-3)


def test_a_hole_in_the_record_is_said_and_no_charge_is_invented_over_it(cycled_cell):
    record, truth = cycled_cell
    fast = np.flatnonzero(record.current_A < -1.9)
    keep = np.ones(len(record), dtype=bool)
    keep[fast[20:40]] = False  # 20 minutes
    cut = Record(*(getattr(record, n)[keep] for n in ("time_s", "voltage_V", "current_A", "temperature_degC")))
    halves = half_cycles(cut, 2.0, **LIMITS)
    broken = [half for half in halves if half.has_hole]
    assert len(broken) == 1
    assert broken[0].charge_Ah == pytest.approx(truth[1] - 2.0 * 21 / 60, rel=2e-3)


def test_rests_that_are_left_out_of_the_export_are_no_holes(cycled_cell):
    record, truth = cycled_cell
    flows = record.current_A != 0.0
    later = record.time_s + 7200.0 * np.cumsum(np.diff(flows.astype(int), prepend=0) > 0)  # two more hours of rest
    names = ("voltage_V", "current_A", "temperature_degC")
    cut = Record(later[flows], *(getattr(record, name)[flows] for name in names))
    halves = half_cycles(cut, 2.0, **LIMITS)
    assert not any(half.has_hole for half in halves)
    np.testing.assert_allclose(discharged(halves), truth, rtol=1e-3)


def test_a_record_of_rest_has_no_half_cycle():
    time = np.arange(0.0, 6000.0, 60.0)
    rest = Record(time, np.full(100, 3.6), np.zeros(100), np.full(100, 25.0))
    assert half_cycles(rest, 2.0, **LIMITS) == []
    assert half_cycles(Record(*np.zeros((4, 1))), 2.0, **LIMITS) == []
    assert steps(rest.current_A, 0.004) == 1


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.floats(0.2, 2.0), min_size=1, max_size=8),
    ripple=st.floats(0.0, 0.04),
    samples=st.integers(2, 40),
    origin=st.floats(-1e6, 1e6),
)
def test_every_swing_is_found_whatever_the_ripple_sampling_and_origin(sizes, ripple, samples, origin):
    swings = [size if i % 2 == 0 else -size for i, size in enumerate(sizes)]
    ends = origin + np.concatenate([[0.0], np.cumsum(swings)])
    path = np.concatenate([np.linspace(a, b, samples, endpoint=False) for a, b in pairwise(ends)])
    path = np.append(path, ends[-1])
    path[1:-1] += ripple / 2 * np.sin(np.arange(len(path) - 2))
    points = turning_points(path, hysteresis=0.1)
    assert len(points) == len(sizes) + 1
    np.testing.assert_allclose(path[points], ends, atol=ripple + 1e-6)


@settings(max_examples=20, deadline=None)
@given(shift=st.floats(-1e7, 1e7), step=st.floats(5.0, 120.0))
def test_shift_of_time_and_resampling_give_the_same_half_cycles(cycled_cell, shift, step):
    record, _ = cycled_cell
    time = np.arange(record.time_s[0], record.time_s[-1], step)
    again = Record(
        time + shift, *(np.interp(time, record.time_s, v) for v in (record.voltage_V, record.current_A)), time
    )
    before, after = half_cycles(record, 2.0, **LIMITS), half_cycles(again, 2.0, **LIMITS)
    assert [half.kind for half in after] == [half.kind for half in before]
    expected = [half.charge_Ah for half in before]
    np.testing.assert_allclose([half.charge_Ah for half in after], expected, rtol=2 * step / 3600 + 1e-3)
