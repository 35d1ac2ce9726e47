"""Settings of the weighted ensemble."""

from __future__ import annotations

from battery_core.base_settings import SectionSettings, setting


class EnsembleSettings(SectionSettings):
    """The mean of the run's models, each weighted by one over the square of its error on validation cells."""

    enabled: bool = setting(True, "Whether the mean of the models is one more candidate")
    min_weight: float = setting(
        0.05, "A model with a smaller weight in the mean is left out", unit="fraction", ge=0, lt=1
    )
    confidence: float = setting(
        0.95, "A single model is used instead if its error on validation cells is smaller, with this confidence",
        unit="fraction", gt=0.5, lt=1,
    )  # fmt: skip
    compare_cells: bool = setting(
        True,
        "Whether its intervals are corrected for easy or hard validation cells, measured by kernel_ridge",
    )
