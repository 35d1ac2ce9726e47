"""Strings in the MLflow registry and in packages that other versions of this code have written or will read.

A registry outlives the code: it holds champions of earlier releases. The Python names may change, these values must
not. ``tests/release/test_champion_of_earlier_code.py`` checks them against a package of an earlier commit.
"""

from __future__ import annotations

# Aliases of a registered model.
CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous"

# Tags of a registered model: ``champion.00001`` is the first promotion event, as JSON.
PROMOTION_TAG_PREFIX = "champion."
BY_RUN = "night"
"""Trigger of a promotion by a retraining run."""
BY_ROLLBACK = "rollback"
"""Trigger of a promotion by a rollback."""

# Tags of a model version.
MODEL_TAG = "model"
DATA_VERSION_TAG = "data_version"
ERROR_TAG = "test_mean_cell_mape"
JOB_TAG = "job"
RETRAIN_KEY_TAG = "night_key"
ROLLED_BACK_TAG = "withdrawn"

# Keys of the metadata that is packed with a model.
SEEN_CELLS = "seen_cells"
SOH_REFERENCE = "soh_reference"
