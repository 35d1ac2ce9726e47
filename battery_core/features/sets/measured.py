"""Base class of feature sets that are measured columns; an error names the remedy when all are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from battery_core.errors import DataError
from battery_core.features.base import FeatureSet, usable
from battery_core.features.settings import FeatureSettings

if TYPE_CHECKING:
    import pandas as pd


class MeasuredFeatures(FeatureSet):
    """Return measured columns of a row unchanged; a subclass sets ``uses`` and the remedy when all are missing."""

    advice: ClassVar[str] = "choose other features.sets"
    """What to do when no column has a value."""
    keeps_last: ClassVar[bool] = False
    """Whether a missing value is the last one of the same cell before it, never a later one."""

    def compute(self, rows: pd.DataFrame, settings: FeatureSettings) -> pd.DataFrame:
        """Compute each row from itself and, where the last value is carried forward, from earlier rows of its cell."""
        if not (columns := usable(rows, self.uses)):
            raise DataError(f"feature set '{self.name}': none of {', '.join(self.uses)} has a value - {self.advice}")
        return rows.groupby("cell_id", sort=False)[columns].ffill() if self.keeps_last else rows[columns].copy()
