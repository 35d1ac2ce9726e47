"""The 16 statistics by hand, against a second computation of another kind, and whatever the cycler's rate."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.interpolate import PchipInterpolator

from battery_core.data.extraction.measuring import measure
from battery_core.data.extraction.settings import ExtractionSettings
from battery_core.data.tables.roles import CHARGE_STATISTICS
from tests.data.extraction.curves import CURRENT_A, CUTOFF_V, NOMINAL_Ah, as_curve, charge_curve, passed_Ah

STATISTICS = list(CHARGE_STATISTICS)
CV = ["current_mean_A", "cv_charge_Ah", "cv_time_s", "current_entropy"]


def one(curve: pd.DataFrame, **changes) -> pd.Series:
    return measure(curve, ExtractionSettings(**changes), NOMINAL_Ah).iloc[0]


def test_a_charge_worked_out_by_hand():
    found = one(charge_curve(tau_s=1500.0))
    beyond = 1500.0 * 0.03 * CURRENT_A / 3600.0  # until the current is 3 % under its level
    in_window = passed_Ah(CUTOFF_V) - passed_Ah(CUTOFF_V - 0.2) + beyond
    high, low = 0.25 * NOMINAL_Ah, 0.05 * NOMINAL_Ah
    assert found["cc_charge_Ah"] == pytest.approx(in_window, rel=2e-3)
    assert found["cc_time_s"] == pytest.approx(found["cc_charge_Ah"] / CURRENT_A * 3600.0, rel=2e-3)
    assert found["cv_time_s"] == pytest.approx(1500.0 * np.log(high / low), rel=1e-3)
    assert found["cv_charge_Ah"] == pytest.approx(1500.0 * (high - low) / 3600.0, rel=1e-3)
    assert found["current_mean_A"] == pytest.approx((high - low) / np.log(high / low), rel=1e-3)
    variance = (high**2 - low**2) / 2 / np.log(high / low) - found["current_mean_A"] ** 2
    assert found["current_std_A"] == pytest.approx(variance**0.5, rel=1e-3)


def test_a_straight_ramp_is_a_uniform_distribution():
    time = np.append(np.arange(0.0, 2000.0, 2.0), 2000.0)
    ramp = as_curve({"time_s": time, "voltage_V": 3.9 + 0.3 * time / 2000.0, "current_A": 1.5}, "charge")
    held = charge_curve(tau_s=100.0, step_s=1.0).query("voltage_V == 4.2")
    held = held.assign(time_s=held["time_s"] - held["time_s"].iloc[0] + 2000.0).iloc[1:]
    found = one(pd.concat([ramp, held]))
    assert found["voltage_kurtosis"] == pytest.approx(-1.2, abs=0.01)
    assert found["voltage_skewness"] == pytest.approx(0.0, abs=0.01)
    assert found["voltage_slope_V_per_s"] == pytest.approx(0.3 / 2000.0, rel=0.01)
    count = found["cc_time_s"]
    assert found["voltage_entropy"] == pytest.approx(np.log(count) + 0.5 - np.log(2.0), abs=0.005)


def second_computation(charge: pd.DataFrame) -> dict[str, float]:
    """The same windows found on a fine grid of a smooth interpolant, and the statistics of scipy and polyfit."""
    time = charge["time_s"].to_numpy()
    fine = np.arange(time[0], time[-1], 0.2)
    voltage, current = (PchipInterpolator(time, charge[c].to_numpy())(fine) for c in ("voltage_V", "current_A"))
    last_high = np.flatnonzero(current >= 0.25 * NOMINAL_Ah)[-1]
    first_low = last_high + np.flatnonzero(current[last_high:] <= 0.05 * NOMINAL_Ah)[0]
    constant_voltage = slice(last_high, first_low)
    cutoff = np.median(voltage[constant_voltage])
    last_constant = np.flatnonzero(current >= 0.97 * np.median(current[(voltage > cutoff - 0.2) & (current > 1.4)]))[-1]
    first = np.flatnonzero(voltage[:last_constant] < cutoff - 0.2)[-1]
    found = {}
    for names, part, values in (
        (STATISTICS[:8], slice(first, last_constant), voltage),
        (STATISTICS[8:], constant_voltage, current),
    ):
        x, t = values[part], fine[part]
        charge_Ah = np.sum((current[part][1:] + current[part][:-1]) / 2 * np.diff(t)) / 3600
        entropy = stats.entropy(x - x.min()) + np.log(0.2)  # per 0.2 s -> per 1 s
        numbers = (
            x.mean(), np.std(x), stats.kurtosis(x), stats.skew(x), charge_Ah, t[-1] - t[0],
            np.polyfit(t - t[0], x, 1)[0], entropy,
        )  # fmt: skip
        found |= dict(zip(names, numbers, strict=True))
    return found


@pytest.mark.reference
def test_raw_nasa_charges_against_a_second_computation(nasa_curves):
    charges = nasa_curves[nasa_curves["half_cycle"] == "charge"]
    ours = pd.concat([measure(part, ExtractionSettings(), NOMINAL_Ah) for _, part in charges.groupby("cell_id")])
    assert len(ours) == 8
    assert ours[STATISTICS].notna().all(axis=None)
    for row, (_, charge) in zip(
        ours.to_dict("records"), charges.groupby(["cell_id", "checkup_index"], sort=True), strict=True
    ):
        theirs = second_computation(charge)
        for name in STATISTICS:
            tolerance = {"abs": 0.02} if "kurtosis" in name or "skewness" in name else {"rel": 0.005}
            assert row[name] == pytest.approx(theirs[name], **tolerance), (row["cell_id"], row["checkup_index"], name)


@given(shift=st.floats(0.0, 1e7), cuts=st.lists(st.floats(0.0, 1.0), max_size=300))
@example(shift=1.7000000000000002, cuts=[])  # where rounding put a sample just before the delay of a resistance
@settings(max_examples=25, deadline=None)
def test_neither_the_origin_of_time_nor_more_samples_change_a_number(shift, cuts):
    curve = charge_curve(step_V=0.005, step_s=60.0)
    before = one(curve)
    time = curve["time_s"].to_numpy()
    more = np.union1d(time, time[0] + np.array(cuts) * (time[-1] - time[0]))
    more = more[np.append(np.diff(more) > 1e-6, True)]
    denser = {c: np.interp(more, time, curve[c]) for c in ("voltage_V", "current_A")}
    again = curve.iloc[[0] * len(more)].assign(time_s=more + shift, **denser)
    after = one(again)
    names = [c for c in before.index if c not in ("cell_id", "checkup_index")]
    np.testing.assert_allclose(after[names].astype(float), before[names].astype(float), rtol=2e-4, atol=2e-4)


@given(keep=st.integers(2, 5), seed=st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_fewer_samples_give_nearly_the_same_numbers(keep, seed):
    curve = charge_curve(step_V=0.001, step_s=10.0)
    order = np.random.default_rng(seed).permutation(len(curve))  # the order of the rows plays no part either
    fewer = curve.iloc[::keep]
    before, after = (one(curve), one(fewer))
    np.testing.assert_allclose(after[STATISTICS].astype(float), before[STATISTICS].astype(float), rtol=0.01, atol=0.01)
    pd.testing.assert_series_equal(one(curve.iloc[order]), before)


def test_a_window_that_is_not_covered_is_missing():
    whole = charge_curve()
    above = one(whole[whole["voltage_V"] > 4.05])
    assert above[STATISTICS[:8]].isna().all()
    assert above[CV].notna().all()
    stopped = one(whole[(whole["current_A"] > 0.3) | (whole["time_s"] < 10)])
    assert stopped[STATISTICS].isna().all()
    fast = whole.copy()
    fast.loc[(fast["voltage_V"] > 4.05) & (fast["voltage_V"] < 4.15), "current_A"] = 1.0
    assert one(fast)[STATISTICS[:8]].isna().all()
    switched_off = whole[(whole["current_A"] > 0.6) | (whole["time_s"] < 10)]
    assert one(pd.concat([switched_off, whole.tail(1).assign(voltage_V=3.9)]))[STATISTICS].isna().all()


def test_windows_are_settings():
    curve = charge_curve()
    narrow = one(curve, window_V=0.1)
    assert narrow["cc_charge_Ah"] == pytest.approx(passed_Ah(4.2) - passed_Ah(4.1) + 0.01875, rel=5e-3)
    assert narrow["cc_charge_Ah"] < 0.5 * one(curve)["cc_charge_Ah"]
    longer = one(curve, cv_window_per_h=(0.5, 0.05))
    assert longer["cv_time_s"] == pytest.approx(1500.0 * np.log(10.0), rel=1e-3)
    assert np.isnan(one(curve, charge_cutoff_V=4.5)["cc_charge_Ah"])
    with pytest.raises(ValueError, match=r"cv_window_per_h: expected a high and a lower current.*, got 0.05,0.25"):
        ExtractionSettings(cv_window_per_h=(0.05, 0.25))
