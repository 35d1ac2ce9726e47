"""The role of each column of the check-up table: whether a model may use it, or it is the label's reference."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

SohReference = Literal["nominal", "first_checkup"]
"""The capacity that counts as SOH 1.0."""


class Role(StrEnum):
    """The role of a column: whether a model may use it."""

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
