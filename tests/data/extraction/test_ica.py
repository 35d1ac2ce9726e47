"""dQ/dV of charges whose peak is known, clean and as a coarse, noisy cycler writes them."""

import numpy as np
import pandas as pd
import pytest

from battery_core.data.extraction.measuring import ROLES, measure
from battery_core.data.extraction.settings import ExtractionSettings
from battery_core.data.tables.roles import Role
from tests.data.extraction.curves import PEAK, NOMINAL_Ah, charge_curve, half_width, passed_Ah

HEIGHT = PEAK["base"] + PEAK["area"] / (PEAK["spread"] * (2 * np.pi) ** 0.5)


def peak(curve: pd.DataFrame, **changes) -> pd.Series:
    found = measure(curve, ExtractionSettings(**changes), NOMINAL_Ah).iloc[0]
    return found[[c for c in found.index if c.startswith("ica_")]].astype(float)


def test_a_known_peak():
    found = peak(charge_curve())
    low, high = half_width()
    assert found["ica_peak_voltage_V"] == pytest.approx(PEAK["at"], abs=0.001)
    assert found["ica_peak_height_Ah_per_V"] == pytest.approx(HEIGHT, rel=0.02)
    assert found["ica_peak_width_V"] == pytest.approx(high - low, rel=0.02)
    assert found["ica_peak_area_Ah"] == pytest.approx(passed_Ah(high) - passed_Ah(low), rel=0.02)
    assert found["ica_full_area_Ah"] == pytest.approx(passed_Ah(4.2) + 1.5 * 1500 / 3600, rel=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_a_coarse_noisy_voltage_moves_the_peak_little(seed):
    curve = charge_curve(step_V=0.0005)
    generator = np.random.default_rng(seed)
    noisy = curve["voltage_V"] + generator.normal(0.0, 0.002, len(curve)) * (curve["voltage_V"] < 4.19)
    curve["voltage_V"] = (noisy / 0.005).round() * 0.005  # 5 mV steps; it now goes down as often as up
    assert (np.diff(curve["voltage_V"]) < 0).sum() > 100
    found, clean = peak(curve), peak(charge_curve())
    assert found["ica_peak_voltage_V"] == pytest.approx(PEAK["at"], abs=0.01)
    assert found["ica_peak_height_Ah_per_V"] == pytest.approx(HEIGHT, rel=0.1)
    assert found["ica_peak_area_Ah"] == pytest.approx(clean["ica_peak_area_Ah"], rel=0.1)


def test_a_peak_outside_the_window_or_at_its_edge_is_missing_not_made_up():
    assert peak(charge_curve(), ica_window_V=(4.0, 4.15)).drop("ica_full_area_Ah").isna().all()
    curve = charge_curve()
    begins_late = curve[(curve["voltage_V"] > 3.8) | (curve["current_A"] == 0)]
    assert peak(begins_late).drop("ica_full_area_Ah").isna().all()
    with pytest.raises(ValueError, match=r"ica_window_V: expected a low and a higher voltage, got 4.1,3.6"):
        ExtractionSettings(ica_window_V=(4.1, 3.6))


def test_the_whole_area_is_label_equivalent_and_the_peak_is_a_part_of_it():
    assert ROLES["ica_full_area_Ah"] == Role.LABEL_EQUIVALENT
    parts = {role for name, role in ROLES.items() if name.startswith("ica_peak")}
    assert parts == {Role.MEASUREMENT}
    found = peak(charge_curve())
    assert found["ica_peak_area_Ah"] < 0.6 * found["ica_full_area_Ah"]


@pytest.mark.reference
def test_the_peak_of_real_charges_is_where_it_is_seen_and_not_the_label(nasa_curves):
    charges = nasa_curves[nasa_curves["half_cycle"] == "charge"]
    found = pd.concat([measure(part, ExtractionSettings(), NOMINAL_Ah) for _, part in charges.groupby("cell_id")])
    found = found.dropna(subset="ica_peak_voltage_V")
    assert len(found) >= 6
    assert found["ica_peak_voltage_V"].between(3.85, 4.05).all()
    assert found["ica_peak_height_Ah_per_V"].between(4.0, 6.5).all()
    assert (found["ica_peak_area_Ah"] / found["ica_full_area_Ah"]).between(0.2, 0.65).all()
