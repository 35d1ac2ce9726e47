"""Settings of the weighted ensemble."""

from __future__ import annotations

from battery_core.base_settings import SectionSettings, setting


class EnsembleSettings(SectionSettings):
    """The mean of the run's models, each weighted by one over the square of its error on validation cells."""

    enabled: bool = setting(True, "Whether the mean of the models is one more candidate")
    min_weight: float = setting(
        0.05, "A model that would count for less in the mean is left out", unit="fraction", ge=0, lt=1
    )
    confidence: float = setting(
        0.95, "A single model serves instead if it errs less on validation cells, with this confidence",
        unit="fraction", gt=0.5, lt=1,
    )  # fmt: skip
    compare_cells: bool = setting(
        True, "Whether its intervals allow for how hard validation cells are among all, as the kernel model finds them"
    )
