"""Draw the figures of the data of a run, beside its report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from battery_core.evaluation.data_drift import measure_drift
from battery_core.features.base import build_features, feature_names
from battery_core.features.sets.condition import with_training_groups
from battery_core.reporting.figures.data import draw_checkup_spacing, draw_fade_curves, draw_quality_issues
from battery_core.reporting.figures.data_drift import draw_drift
from battery_core.settings import Settings
from battery_core.stages.common import source_of

DATA_FIGURES = {
    "data-fade": "how all cells fade",
    "data-spacing": "how often cells were measured",
    "data-drift": "training against test cells",
    "data-quarantine": "what was flagged and taken out",
}
"""Names and subjects of the figures."""


def draw_data(settings: Settings, tables: Path, rows: pd.DataFrame, label: str, folder: Path) -> None:
    """Draw fade curves, spacing of check-ups, data drift between training and test cells, and quality issues.

    Args:
        settings: settings of the features.
        tables: folder of normalized tables.
        rows: labelled check-ups with their subset.
        label: description of the data, such as "simulated LG M50T".
        folder: folder for the figures.
    """
    files = [folder / f"{name}.png" for name in DATA_FIGURES]
    titles = [f"{label}: {subject}" for subject in DATA_FIGURES.values()]
    features, subset = compared_features(settings, rows)
    drift = measure_drift(features, subset)
    draw_fade_curves(rows, titles[0], files[0])
    draw_checkup_spacing(rows, titles[1], files[1])
    draw_drift(features, subset, drift, titles[2], files[2])
    draw_quality_issues(rows, pd.read_csv(tables / "issues.csv"), titles[3], files[3])


def compared_features(settings: Settings, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series[str]]:
    """Return the unscaled features of training and test rows, and the subset of each row."""
    rows = rows[rows["subset"].isin(["train", "test"])]
    source = source_of(settings)
    chosen = settings.features.model_copy(update={"sets": feature_names(settings.features, source)})
    chosen = with_training_groups(chosen, rows.loc[rows["subset"] == "train", "group"])
    return build_features(rows, chosen.sets, chosen, source.roles()), rows["subset"]
