"""A check-up is a full discharge by a stated rule, and what comes before it is usage."""

from __future__ import annotations

import numpy as np
import pytest

from battery_core.data.cycling.checkups import Window, capacities, coulomb_ratios, find_checkups, is_empty, throughput
from battery_core.data.cycling.half_cycles import HalfCycle, half_cycles

LIMITS = {"rest_current": 0.002, "min_half_cycle": 0.05, "max_gap_s": 900.0}
WINDOW = Window(2.8, 4.2, 0.03)


@pytest.fixture(scope="module")
def halves(cycled_cell):
    return half_cycles(cycled_cell[0], 2.0, **LIMITS)


def test_every_full_cycle_or_only_the_slow_ones(halves, cycled_cell):
    _, truth = cycled_cell
    every = find_checkups(halves, WINDOW, 2.0, "every_full_cycle", 0.11)
    slow = find_checkups(halves, WINDOW, 2.0, "low_rate", 0.11)
    np.testing.assert_allclose([c.discharge.charge_Ah for c in every], truth, rtol=1e-3)
    np.testing.assert_allclose([c.discharge.charge_Ah for c in slow], truth[[0, 3]], rtol=1e-3)
    assert find_checkups(halves, WINDOW, 2.0, "low_rate", 0.09) == []


@pytest.mark.parametrize(("lower", "upper"), [(2.7, 4.2), (2.8, 4.3)])
def test_a_discharge_that_misses_a_cut_off_is_none(halves, lower, upper):
    assert find_checkups(halves, Window(lower, upper, 0.03), 2.0, "every_full_cycle", 0.11) == []


def test_a_discharge_after_a_partial_charge_is_none():
    charge = HalfCycle("charge", 0, 9, 1.0, 3600.0, 2.8, 3.9, False)
    discharge = HalfCycle("discharge", 9, 19, 1.0, 3600.0, 2.8, 3.9, False)
    assert is_empty(discharge, WINDOW)
    assert find_checkups([charge, discharge], WINDOW, 2.0, "every_full_cycle", 0.11) == []


def test_a_record_that_begins_with_a_discharge_is_full_only_if_it_begins_at_the_top():
    full = HalfCycle("discharge", 0, 9, 1.9, 3600.0, 2.8, 4.19, False)
    partial = HalfCycle("discharge", 0, 9, 1.0, 3600.0, 2.8, 3.8, False)
    (found,) = find_checkups([full], WINDOW, 2.0, "every_full_cycle", 0.11)
    assert found.charge is None
    assert found.begins == 0
    assert find_checkups([partial], WINDOW, 2.0, "every_full_cycle", 0.11) == []


def test_capacity_counts_to_the_cut_off_and_no_further(halves, cycled_cell):
    record, truth = cycled_cell
    found = find_checkups(halves, WINDOW, 2.0, "every_full_cycle", 0.11)
    np.testing.assert_allclose(capacities(record, found, 2.8, 900.0, 0.004), truth, rtol=3e-4)
    np.testing.assert_allclose(capacities(record, found, 2.7, 900.0, 0.004), [c.discharge.charge_Ah for c in found])
    half = found[1].discharge
    volts, time = record.voltage_V[half.start : half.stop + 1], record.time_s[half.start : half.stop + 1]
    seconds = np.interp(-3.3, -volts, time) - time[1]  # at a constant 2 A, from the first sample under load
    assert capacities(record, found, 3.3, 900.0, 0.004)[1] == pytest.approx(2.0 * seconds / 3600, rel=1e-3)


def test_throughput_before_a_check_up_knows_neither_its_discharge_nor_the_charge_before_it(halves, cycled_cell):
    record, _ = cycled_cell
    through = throughput(record, 900.0, 0.004)
    found = find_checkups(halves, WINDOW, 2.0, "every_full_cycle", 0.11)
    passed = [half.charge_Ah for half in halves]
    expected = [sum(passed[: 2 * i]) for i in range(5)]  # an independent sum over whole half cycles
    np.testing.assert_allclose([through[c.begins] for c in found], expected, rtol=1e-6, atol=1e-9)


def test_between_two_full_charges_what_goes_out_comes_in(halves):
    ratios = coulomb_ratios(halves, WINDOW)
    assert len(ratios) == 4
    np.testing.assert_allclose([ratio for _, ratio in ratios], 1.0, atol=0.02)
