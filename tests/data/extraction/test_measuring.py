"""Curves of a cell become one row a check-up, whatever is missing."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pandas as pd

from battery_core.data.extraction.base import HalfCycle, Measurement
from battery_core.data.extraction.measuring import ROLES, measure
from battery_core.data.extraction.registry import MEASUREMENTS, roles
from battery_core.data.extraction.settings import ExtractionSettings
from battery_core.data.sources.base import CANONICAL_ROLES
from battery_core.data.tables.roles import CHARGE_STATISTICS, Role
from tests.data.extraction.curves import NOMINAL_Ah, charge_curve, discharge_curve


def test_one_row_a_checkup_in_order_and_missing_halves_are_nan():
    second = pd.concat([charge_curve(), discharge_curve()]).assign(checkup_index=5)
    first = discharge_curve().assign(checkup_index=2)
    found = measure(pd.concat([second, first]), ExtractionSettings(), NOMINAL_Ah)
    assert found[["cell_id", "checkup_index"]].values.tolist() == [["A", 2], ["A", 5]]
    assert list(found.columns) == ["cell_id", "checkup_index", *ROLES]
    assert found["cc_charge_Ah"].isna().tolist() == [True, False]
    assert found["step_resistance_discharge_ohm"].notna().all()
    assert measure(first.iloc[:0], ExtractionSettings(), NOMINAL_Ah).shape == (0, 2 + len(ROLES))


def test_missing_and_repeated_samples_play_no_part():
    curve = charge_curve()
    before = measure(curve, ExtractionSettings(), NOMINAL_Ah)
    holes = pd.concat([curve, curve.iloc[::7].assign(voltage_V=np.nan), curve.iloc[::5]]).sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(measure(holes, ExtractionSettings(), NOMINAL_Ah), before)


def test_roles_are_those_of_the_registry():
    assert set(CHARGE_STATISTICS) < set(ROLES)
    assert not set(ROLES) & set(CANONICAL_ROLES)
    assert list(MEASUREMENTS) == ["charge_statistics", "ica", "dva", "resistance"]


def test_a_new_measurement_is_one_class():
    class Highest(Measurement):
        name = "highest"
        columns: ClassVar[Mapping[str, Role]] = {"highest_V": Role.MEASUREMENT}

        def measure(self, curves, settings):
            return {"highest_V": float(curves["charge"].voltage_V.max())}

    MEASUREMENTS.register("highest")(Highest)
    try:
        assert roles()["highest_V"] == Role.MEASUREMENT
        found = MEASUREMENTS.get("highest").measure({"charge": HalfCycle(*np.ones((3, 2)), 2.0)}, ExtractionSettings())
        assert found == {"highest_V": 1.0}
    finally:
        del MEASUREMENTS._entries["highest"]
