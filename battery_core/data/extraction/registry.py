"""The measurements by name, and the role of every column they compute."""

from __future__ import annotations

from collections.abc import Mapping

from battery_core.data.extraction.base import Measurement
from battery_core.data.tables.roles import Role
from battery_core.registry import Registry

MEASUREMENTS: Registry[Measurement] = Registry(
    "measurement",
    {
        "charge_statistics": "battery_core.data.extraction.charge_statistics:ChargeStatisticsOfCurve",
        "ica": "battery_core.data.extraction.ica:IncrementalCapacity",
        "dva": "battery_core.data.extraction.dva:DifferentialVoltage",
        "resistance": "battery_core.data.extraction.resistance:StepResistance",
    },
)
"""Each is a ``Measurement``."""


def roles() -> Mapping[str, Role]:
    """Return the role of every measured column, in the order of the registry."""
    return {column: role for name in MEASUREMENTS for column, role in MEASUREMENTS[name].columns.items()}
