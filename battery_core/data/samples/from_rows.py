"""Conversion of tables to training samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from battery_core.data.samples.sample import SampleMeta, Samples
from battery_core.errors import DataError

if TYPE_CHECKING:  # the Trainer reads samples and must not load pandas
    import pandas as pd


def make_samples(features: pd.DataFrame, soh: pd.Series[float], rows: pd.DataFrame) -> Samples:
    """Return one sample per row; features, labels and rows correspond by position.

    Shape: x (N, F) float32, y (N, 1) float32.

    Raises:
        DataError: the lengths differ, or a label is missing.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"cell_id": ["A"], "checkup_index": [3], "ambient_temperature_degC": [25.0]})
        >>> make_samples(pd.DataFrame({"f": [1.5]}), pd.Series([0.9]), rows)[0].meta.temperature_degC
        25.0
    """
    if not len(features) == len(soh) == len(rows):
        raise DataError(
            f"samples: {len(features)} feature rows, {len(soh)} labels, {len(rows)} raw rows - build all from the same"
        )
    labels = soh.to_numpy(dtype=float)
    if not np.isfinite(labels).all():
        first = int(np.flatnonzero(~np.isfinite(labels))[0])
        raise DataError(
            f"samples: cell '{rows['cell_id'].iloc[first]}' has a row without SOH - check the quality first"
        )
    temperature = rows["ambient_temperature_degC"] if "ambient_temperature_degC" in rows else [float("nan")] * len(rows)
    group = rows["group"] if "group" in rows else [""] * len(rows)
    meta = [
        SampleMeta(str(cell), int(index), float(t), str(g))
        for cell, index, t, g in zip(rows["cell_id"], rows["checkup_index"], temperature, group, strict=True)
    ]
    return Samples(features.to_numpy(dtype=float), labels, meta)
