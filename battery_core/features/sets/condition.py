"""Operating condition of a cell: its group as one-hot columns, and its ambient temperature."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from battery_core.features.base import FeatureSet, usable
from battery_core.features.registry import FEATURES
from battery_core.features.settings import FeatureSettings

if TYPE_CHECKING:
    from pandas import DataFrame


@FEATURES.register("condition")
class ConditionFeatures(FeatureSet):
    """Encode each group (a protocol, a chemistry) as a column: 1.0 in its cells; all 0.0 for an unseen group.

    The groups are those of ``features.groups``. Training writes them there with ``with_training_groups``, so that a
    model always gets the columns it was trained with. Without them, the groups in the rows at hand.
    """

    name = "condition"
    requires = ("group",)
    uses = ("ambient_temperature_degC",)

    def compute(self, rows: DataFrame, settings: FeatureSettings) -> DataFrame:
        """Compute each row from itself alone."""
        groups = settings.groups or sorted(rows["group"].unique())
        features = {f"group_is_{g}": (rows["group"] == g).astype("float64") for g in groups}
        features |= {c: rows[c] for c in usable(rows, self.uses)}
        return pd.DataFrame(features, index=rows.index)


def with_training_groups(settings: FeatureSettings, training_groups: Iterable[str]) -> FeatureSettings:
    """Return the settings with the groups of the training cells in them, to be saved with the model.

    Example:
        >>> with_training_groups(FeatureSettings(), ["3C", "2C", "3C"]).groups
        ('2C', '3C')
    """
    return settings if settings.groups else settings.model_copy(update={"groups": tuple(sorted(set(training_groups)))})
