"""Settings of intervals and of the training domain."""

from __future__ import annotations

from battery_core.base_settings import SectionSettings, setting


class UncertaintySettings(SectionSettings):
    """Set intervals of predictions, and the limits of the training domain."""

    coverage: float = setting(0.9, "Fraction of check-ups that the interval is to cover", unit="fraction", gt=0, lt=1)
    range_quantile: float = setting(
        0.001, "Share of training check-ups beyond each end of a training range", unit="fraction", ge=0, lt=0.5
    )
    range_margin: float = setting(
        0.1, "How far beyond its training range a value is still in distribution, in widths of the range", ge=0
    )
