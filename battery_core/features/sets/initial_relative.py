"""A cell relative to its first check-ups, which are available for any deployed cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from battery_core.data.sources.base import CHARGE_STATISTICS
from battery_core.features.base import FeatureSet, usable
from battery_core.features.registry import FEATURES
from battery_core.features.settings import FeatureSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

# positive and far from zero: their ratio to the start means something; of the others only the difference does
_RATIOS = (
    "resistance_ohm",
    "cc_charge_Ah",
    "cc_time_s",
    "cv_charge_Ah",
    "cv_time_s",
    "current_mean_A",
    "current_std_A",
)
_DIFFERENCES = tuple(c for c in CHARGE_STATISTICS if c not in _RATIOS)


@FEATURES.register("initial_relative")
class InitialRelativeFeatures(FeatureSet):
    """Ratio or difference of each measurement to the median of the cell's own first check-ups.

    The start is the first ``n_initial_checkups`` check-ups *that exist by then*: check-up 1 is compared with check-ups
    0 and 1, not with check-ups still to come. Needs the cell's rows from its beginning.
    """

    name = "initial_relative"
    uses = (*_RATIOS, *_DIFFERENCES)

    def compute(self, rows: pd.DataFrame, settings: FeatureSettings) -> pd.DataFrame:
        """Compute each row from itself and the first rows of its cell."""
        ratios, differences = usable(rows, _RATIOS), usable(rows, _DIFFERENCES)
        start = _start(rows, [*ratios, *differences], settings.n_initial_checkups)
        features = {f"{c}_ratio_to_start": rows[c] / start[c].where(start[c].abs() > 0) for c in ratios}
        features |= {f"{c}_change_from_start": rows[c] - start[c] for c in differences}
        return pd.DataFrame(features, index=rows.index)


def _start(rows: pd.DataFrame, columns: Sequence[str], n_first: int) -> pd.DataFrame:
    """Return the median of the first ``n_first`` check-ups up to each row; later rows repeat the last of them."""
    position = rows.groupby("cell_id").cumcount()
    first = rows[position < n_first]
    medians = first.groupby("cell_id")[list(columns)].expanding().median().droplevel(0)
    return medians.reindex(rows.index).groupby(rows["cell_id"]).ffill()
