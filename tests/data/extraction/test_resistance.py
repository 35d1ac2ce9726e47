"""Resistance from steps of a known size, and nothing that tells how long a discharge lasts."""

import numpy as np
import pandas as pd
import pytest

from battery_core.data.extraction.measuring import ROLES, measure
from battery_core.data.extraction.settings import ExtractionSettings
from tests.data.extraction.curves import NOMINAL_Ah, as_curve, charge_curve, discharge_curve

NAME = "step_resistance_discharge_ohm"


def resistance(curve: pd.DataFrame, name: str = NAME, **changes) -> float:
    return float(measure(curve, ExtractionSettings(**changes), NOMINAL_Ah).iloc[0][name])


def pulses(resistances, load_A: float = 2.0, every_s: float = 10.0) -> pd.DataFrame:
    """Rest, load, rest, load... with a resistance for each load."""
    count = 2 * len(resistances)
    current = np.where(np.arange(count) % 2, -load_A, 0.0)
    voltage = 4.0 + current * np.repeat(resistances, 2)
    return as_curve({"time_s": every_s * np.arange(count), "voltage_V": voltage, "current_A": current}, "discharge")


def test_one_step_by_hand():
    assert resistance(discharge_curve(resistance_ohm=0.1)) == pytest.approx(0.1, rel=1e-3)
    charge = charge_curve()
    jump = charge["voltage_V"].iloc[2] - 3.0
    assert resistance(charge, "step_resistance_charge_ohm") == pytest.approx(jump / 1.5)


def test_the_median_of_the_early_steps_counts():
    assert resistance(pulses([0.1, 0.3, 0.11])) == pytest.approx(0.11)
    early, late = [0.1] * 15, [0.5] * 200  # a pulse of 2 A passes 10 s * 1 A on average: 0.2 Ah are 36 of them
    assert resistance(pulses(early + late), step_max_charge=0.02) == pytest.approx(0.1)


def test_small_and_late_steps_do_not_count():
    assert np.isnan(resistance(pulses([0.1] * 3, load_A=0.3)))
    assert resistance(pulses([0.1] * 3, load_A=0.3), step_min_per_h=0.1) == pytest.approx(0.1)
    assert np.isnan(resistance(pulses([0.1] * 3, every_s=30.0)))
    assert resistance(pulses([0.1] * 3, every_s=30.0), step_max_delay_s=30.0) == pytest.approx(0.1)


def test_the_delay_chooses_the_sample():
    time, current = np.array([0.0, 1.0, 1.5, 3.0, 12.0]), np.array([0.0, 0.0, -2.0, -2.0, -2.0])
    curve = as_curve(
        {"time_s": time, "voltage_V": np.array([4.0, 4.0, 3.9, 3.8, 3.7]), "current_A": current}, "discharge"
    )
    found = [resistance(curve, step_delay_s=delay) for delay in (0.1, 1.0, 5.0)]
    assert found == pytest.approx([0.05, 0.1, 0.15])
    with pytest.raises(ValueError, match="step_max_delay_s: 1 is less than step_delay_s 2"):
        ExtractionSettings(step_delay_s=2.0, step_max_delay_s=1.0)


def test_what_a_discharge_does_after_its_beginning_changes_no_column():
    before = measure(pd.concat([charge_curve(), discharge_curve()]), ExtractionSettings(), NOMINAL_Ah)
    discharge = discharge_curve()
    begins = -np.cumsum(discharge["current_A"]) * 10.0 / 3600.0 < 0.1 * NOMINAL_Ah
    for other in (discharge[begins], discharge.assign(voltage_V=discharge["voltage_V"].where(begins, 2.0))):
        after = measure(pd.concat([charge_curve(), other]), ExtractionSettings(), NOMINAL_Ah)
        pd.testing.assert_frame_equal(after, before)
    measured = [name for name in ROLES if not name.startswith("dva_")]  # this charge has a dQ/dV peak: a dV/dQ valley
    assert before[measured].notna().all(axis=None)
