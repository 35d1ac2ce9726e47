"""dV/dQ of charges with known peaks, of measured ones, and of simulated cells whose electrodes are known."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

from battery_core.data.extraction.base import HalfCycle
from battery_core.data.extraction.dva import differential_voltage, dva_peaks
from battery_core.data.extraction.measuring import ROLES, measure
from battery_core.data.extraction.settings import ExtractionSettings
from battery_core.data.settings import DataSettings
from battery_core.data.sources.simulated.source import SimulatedSource
from battery_core.data.tables.roles import Role
from tests.data.extraction.curves import NOMINAL_Ah, as_curve, charge_curve, discharge_curve

PEAKS = ((0.55, 0.30, 0.06), (1.0, 0.25, 0.12))
"""Place (Ah), height (V/Ah) and width (Ah) of the dV/dQ peaks of the synthetic cell, above a slope of 0.15 V/Ah."""
PLACES = ["dva_peak_Ah", "dva_second_peak_Ah", "dva_peak_distance_Ah"]


def voltage(charge_Ah):
    """Open-circuit voltage of the synthetic cell, from 3.4 V on."""
    steps = sum(h * w * (np.tanh((charge_Ah - at) / w) + np.tanh(at / w)) for at, h, w in PEAKS)
    return 3.4 + 0.15 * charge_Ah + steps


def slope(charge_Ah):
    """Its derivative."""
    return 0.15 + sum(h / np.cosh((charge_Ah - at) / w) ** 2 for at, h, w in PEAKS)


def slow_charge(samples: int = 1200, current_A: float = 0.2, until_Ah: float = 1.9) -> pd.DataFrame:
    charge = np.linspace(0.0, until_Ah, samples)
    columns = {"time_s": 3600.0 * charge / current_A, "voltage_V": voltage(charge), "current_A": current_A}
    return as_curve(columns, "charge")


def peaks(curve: pd.DataFrame, nominal_Ah: float = NOMINAL_Ah, **changes) -> pd.Series:
    found = measure(curve, ExtractionSettings(**changes), nominal_Ah).iloc[0]
    return found[[c for c in found.index if c.startswith("dva_")]].astype(float)


def half_cycle(part: pd.DataFrame, nominal_Ah: float) -> HalfCycle:
    return HalfCycle.clean(*(part[c].to_numpy(dtype=float) for c in ("time_s", "voltage_V", "current_A")), nominal_Ah)


def test_peaks_are_where_the_formula_has_them():
    true = [minimize_scalar(lambda q: -slope(q), bounds=(at - 0.1, at + 0.1), method="bounded").x for at, *_ in PEAKS]
    valley = minimize_scalar(slope, bounds=(true[0] + 0.1, true[1] - 0.1), method="bounded").x
    found = peaks(slow_charge())
    assert found[PLACES].tolist() == pytest.approx([*true, true[1] - true[0]], abs=0.002)
    assert found["dva_peak_of_nominal"] == pytest.approx(true[0] / NOMINAL_Ah, abs=0.001)
    assert found["dva_peak_height_V_per_Ah"] == pytest.approx(slope(true[0]), rel=0.02)
    assert found["dva_second_peak_height_V_per_Ah"] == pytest.approx(slope(true[1]), rel=0.02)
    assert found["dva_valley_V_per_Ah"] == pytest.approx(slope(valley), rel=0.02)
    assert found["dva_full_charge_Ah"] == pytest.approx(1.9)
    assert found["dva_peak_of_full"] == pytest.approx(true[0] / 1.9, abs=0.001)


def test_the_whole_curve_follows_the_derivative():
    charge, found = differential_voltage(half_cycle(slow_charge(), NOMINAL_Ah), ExtractionSettings())
    assert (charge[0], charge[-1]) == (pytest.approx(0.1 + 0.056, abs=0.01), pytest.approx(1.6 - 0.056, abs=0.01))
    np.testing.assert_allclose(found, slope(charge), atol=0.006)


@pytest.mark.parametrize("seed", range(5))
def test_a_coarse_noisy_voltage_moves_the_peaks_little(seed):
    curve = slow_charge(samples=6000)
    noise = np.random.default_rng(seed).normal(0.0, 0.002, len(curve))
    curve["voltage_V"] = ((curve["voltage_V"] + noise) / 0.005).round() * 0.005
    assert (np.diff(curve["voltage_V"]) < 0).sum() > 500  # it goes down nearly as often as up
    found, clean = peaks(curve), peaks(slow_charge())
    assert (found[PLACES] - clean[PLACES]).abs().max() < 0.03
    assert found["dva_peak_height_V_per_Ah"] == pytest.approx(clean["dva_peak_height_V_per_Ah"], rel=0.1)


def test_neither_origin_of_time_nor_samples_nor_sign_nor_size_play_a_part():
    clean, curve = peaks(slow_charge()), slow_charge(samples=4000)
    later = curve.assign(time_s=curve["time_s"] + 1e6)
    uneven = curve[np.random.default_rng(0).uniform(size=len(curve)) < 0.3].sample(frac=1.0, random_state=0)
    for other in (curve, later, uneven):
        np.testing.assert_allclose(peaks(other)[PLACES], clean[PLACES], atol=0.004)
    large = peaks(slow_charge(current_A=20.0).assign(time_s=slow_charge()["time_s"]), 100 * NOMINAL_Ah)
    assert large["dva_peak_of_nominal"] == pytest.approx(clean["dva_peak_of_nominal"], rel=1e-6)
    assert large["dva_peak_height_V_per_Ah"] == pytest.approx(clean["dva_peak_height_V_per_Ah"] / 100, rel=1e-6)
    mirrored = slow_charge().assign(voltage_V=8.0 - slow_charge()["voltage_V"], current_A=-0.2)
    down = dva_peaks(half_cycle(mirrored, NOMINAL_Ah), ExtractionSettings())
    assert [down[c] for c in clean.index] == pytest.approx(clean.tolist(), rel=1e-9)


def test_a_peak_that_is_faint_or_not_reached_or_under_a_changing_current_is_missing_not_made_up():
    one = peaks(slow_charge(until_Ah=0.9))
    assert one["dva_peak_Ah"] == pytest.approx(0.55, abs=0.002)
    assert one[["dva_second_peak_Ah", "dva_peak_distance_Ah", "dva_valley_V_per_Ah"]].isna().all()
    for none in (
        peaks(slow_charge(), dva_prominence_V=1.0),
        peaks(slow_charge(until_Ah=0.3)),
        peaks(slow_charge().assign(current_A=np.where(np.arange(1200) % 2, 0.2, 0.25))),
        peaks(charge_curve()),  # one dQ/dV peak is one dV/dQ valley
    ):
        assert none.drop("dva_full_charge_Ah").isna().all()
        assert none["dva_full_charge_Ah"] > 0
    with pytest.raises(ValueError, match=r"dva_window: expected a low and a higher share from 0 to 1, got 0.8,0.1"):
        ExtractionSettings(dva_window=(0.8, 0.1))


def test_what_needs_the_whole_charge_is_label_equivalent_and_the_rest_does_not_know_it():
    roles = {name: role for name, role in ROLES.items() if name.startswith("dva_")}
    hidden = {name for name, role in roles.items() if role == Role.LABEL_EQUIVALENT}
    assert hidden == {"dva_full_charge_Ah", "dva_peak_of_full"}
    seen = [name for name in roles if name not in hidden]
    short, whole = peaks(slow_charge(samples=1700, until_Ah=1.7)), peaks(slow_charge(samples=1900))
    assert short["dva_full_charge_Ah"] < whole["dva_full_charge_Ah"] - 0.1
    np.testing.assert_allclose(short[seen], whole[seen], rtol=1e-3)


def test_the_discharge_of_the_checkup_is_never_looked_at():
    before = peaks(slow_charge())
    pd.testing.assert_series_equal(peaks(pd.concat([slow_charge(), discharge_curve()])), before)
    assert peaks(slow_charge().assign(half_cycle="discharge", current_A=-0.2)).isna().all()


def test_simulated_cells_show_their_lost_material_and_their_lost_lithium(tmp_path):
    source, settings = SimulatedSource(), DataSettings()
    source.fetch(tmp_path, settings)
    cells = [cell for cell in source.cell_files(tmp_path, settings) if cell.cell_id in ("expt5-A", "expt4-H")]
    for tables in (source.read_cell(tmp_path, cell, settings) for cell in cells):
        parts = tables.curves.groupby("checkup_index")  # C/10 discharges: the label's own curve, here to be understood
        found = pd.DataFrame([dva_peaks(half_cycle(part, 5.0), ExtractionSettings()) for _, part in parts])
        assert found.notna().all(axis=None)
        assert found["dva_peak_distance_Ah"].corr(tables.checkups["ne_capacity_Ah"]) > 0.95
        assert found["dva_peak_Ah"].corr(tables.checkups["lli"]) < -0.95


@pytest.mark.reference
def test_on_real_charges_the_valley_is_the_peak_of_dqdv_found_another_way(nasa_curves):
    charges = nasa_curves[nasa_curves["half_cycle"] == "charge"]
    table = pd.concat([measure(part, ExtractionSettings(), NOMINAL_Ah) for _, part in charges.groupby("cell_id")])
    table = table.dropna(subset="ica_peak_voltage_V").set_index(["cell_id", "checkup_index"])
    assert len(table) >= 6
    for key, part in charges.groupby(["cell_id", "checkup_index"]):
        if key in table.index:
            _, found = differential_voltage(half_cycle(part, NOMINAL_Ah), ExtractionSettings())
            assert 1.0 / found.min() == pytest.approx(table.loc[key, "ica_peak_height_Ah_per_V"], rel=0.1)
    assert table["dva_full_charge_Ah"].to_numpy() == pytest.approx(table["ica_full_area_Ah"].to_numpy(), rel=0.02)
