"""Settings of scoring: when a cell is near its end of life, and how sure forecasts are meant to be."""

from __future__ import annotations

from battery_core.base_settings import SectionSettings, setting


class ScoreSettings(SectionSettings):
    """What the daily scoring says of cells."""

    newest: int = setting(1, "newest check-ups of each cell that get a row in the table of scores", ge=1)
    end_of_life: float = setting(0.8, "SOH at which a cell has reached its end of life", unit="fraction", gt=0, lt=1)
    near: float = setting(
        0.02, "a cell is flagged as near its end of life from this far above it", unit="fraction", ge=0, lt=1
    )
    forecast_coverage: float = setting(
        0.9, "share of cells that the interval of a forecast is meant to hold", unit="fraction", gt=0, lt=1
    )
