"""What comes in is checked by the names' own units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from battery_core.errors import DataError
from battery_core.predictors.input_validation import check_columns, check_magnitudes

LIMITS = {"cc_charge_Ah": (0.2, 0.5), "ambient_temperature_degC": (20.0, 30.0), "throughput_Ah": (0.0, 6000.0)}


@pytest.mark.parametrize(
    ("wanted", "given", "words"),
    [
        ("voltage_mean_V", "voltage_mean_mV", "'voltage_mean_mV' is there in mV: multiply by 0.001 and name it 'volt"),
        ("cc_charge_Ah", "CC charge (mAh)", r"'CC charge \(mAh\)' is there in mAh: multiply by 0.001 and name it"),
        ("cv_time_s", "cv_time_min", "'cv_time_min' is there in min: multiply by 60 and"),
        ("ambient_temperature_degC", "ambient_temperature_K", "in K: subtract 273.15 and name it"),
        ("cc_charge_Ah", "CC charge [A h]", r"'CC charge \[A h\]' is there: name it 'cc_charge_Ah'"),
        ("cc_charge_Ah", "cc_charge_V", r"give the measured columns .*; 'cc_charge_Ah' in Ah \(from mAh: multiply by"),
        ("group", "name", "give the measured columns of the model's signature$"),
    ],
)
def test_a_missing_column_is_named_with_the_conversion(wanted: str, given: str, words: str) -> None:
    rows = pd.DataFrame({"cell_id": ["A"], given: [1.0]})
    with pytest.raises(DataError, match=rf"prediction: missing columns \['{wanted}'\]; found .* - .*{words}") as caught:
        check_columns(rows, ["cell_id", wanted], "prediction")
    assert "\n" not in str(caught.value)


def test_columns_that_are_there_pass() -> None:
    check_columns(pd.DataFrame({"a_V": [1.0], "more": [2]}), ["a_V"], "prediction")


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("cc_charge_Ah", [334.0, 350.0, np.nan], "training had 0.2 to 0.5 Ah: it seems to be in mAh - mult"),
        ("ambient_temperature_degC", [298.0], "training had 20 to 30 degC: it seems to be in K - subtract 273.15"),
    ],
)
def test_values_in_another_unit_are_refused(name: str, values: list[float], words: str) -> None:
    with pytest.raises(DataError, match=rf"prediction: column '{name}' has the median .*{words}"):
        check_magnitudes(pd.DataFrame({name: values}), {name: LIMITS[name]}, "prediction")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cc_charge_Ah", [0.3, 334.0, 0.35]),  # one bad reading
        ("cc_charge_Ah", [1.4]),  # an unusual cell
        ("cc_charge_Ah", [7000.0]),  # wrong, but not by the unit
        ("cc_charge_Ah", [np.nan]),
        ("throughput_Ah", [9000.0]),  # older than any cell in training
        ("ambient_temperature_degC", [60.0]),
    ],
)
def test_odd_values_are_let_through(name: str, values: list[float]) -> None:
    check_magnitudes(pd.DataFrame({name: values}), {name: LIMITS[name]}, "prediction")


def test_a_time_in_minutes_is_refused() -> None:
    with pytest.raises(DataError, match=r"it seems to be in min - multiply by 60"):
        check_magnitudes(pd.DataFrame({"cc_time_s": [4.2]}), {"cc_time_s": (200.0, 300.0)}, "prediction")
