"""What a column of the check-up table tells about a cell, and so whether a model may see it."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a column tells about a cell, and so whether a model may see it."""

    USAGE = "usage"
    """How the cell was used: throughput, time, temperature, cycle number."""
    MEASUREMENT = "measurement"
    """Measured without knowing the capacity: a partial charge, a resistance."""
    LABEL_EQUIVALENT = "label-equivalent"
    """Nearly the label itself: refused as a feature for SOH of the same check-up."""


CHARGE_STATISTICS = (
    "voltage_mean_V", "voltage_std_V", "voltage_kurtosis", "voltage_skewness",
    "cc_charge_Ah", "cc_time_s", "voltage_slope_V_per_s", "voltage_entropy",
    "current_mean_A", "current_std_A", "current_kurtosis", "current_skewness",
    "cv_charge_Ah", "cv_time_s", "current_slope_A_per_s", "current_entropy",
)  # fmt: skip
"""Statistics of the end of a charge (cc: constant current, cv: constant voltage), as Wang et al. 2024 order them."""
