"""A synthetic record for the tests of this room."""

from __future__ import annotations

import numpy as np
import pytest

from battery_core.data.cycling.record import Record


def as_record(table) -> Record:
    """Arrays from a synthetic table, current charge-positive."""
    return Record(
        *(table[name].to_numpy(dtype=float) for name in ("time_s", "voltage_V", "current_A", "temperature_degC"))
    )


@pytest.fixture(scope="session")
def cycled_cell(synthetic_cell):
    """Five cycles at 1 C, two of them with a discharge at 0.1 C: the record and the capacities the cell really had."""
    made = synthetic_cell.cycled(5, slow_every=3)
    return as_record(made.record), np.array(made.capacities_Ah)
