"""Extraction of every registered measurement from every check-up of one cell."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from battery_core.data.extraction.base import HalfCycle
from battery_core.data.extraction.registry import MEASUREMENTS, roles
from battery_core.data.extraction.settings import ExtractionSettings
from battery_core.data.tables.roles import Role

ROLES: Mapping[str, Role] = roles()
"""Role of every column that ``measure`` gives."""


def measure(curves: pd.DataFrame, settings: ExtractionSettings, nominal_capacity_Ah: float) -> pd.DataFrame:
    """Return one row per check-up with every measured column; NaN where a curve does not cover a window.

    Args:
        curves: the curves of one cell, columns as ``schema.CURVE_COLUMNS``.
        settings: windows and limits.
        nominal_capacity_Ah: of the cell; limits on currents are C-rates.

    Example:
        >>> import pandas as pd
        >>> rest = dict(cell_id="A", checkup_index=3, half_cycle="charge", time_s=[0.0, 9.0], voltage_V=3.0)
        >>> table = measure(pd.DataFrame(rest | dict(current_A=0.0)), ExtractionSettings(), 2.0)
        >>> table["checkup_index"].tolist(), table["cc_time_s"].tolist()
        ([3], [nan])
    """
    methods = [MEASUREMENTS.get(name) for name in MEASUREMENTS]
    rows: list[dict[str, object]] = []
    for (cell, index), some in curves.groupby(["cell_id", "checkup_index"], sort=True):
        halves = {
            str(half): _half_cycle(rows_of_half, nominal_capacity_Ah)
            for half, rows_of_half in some.groupby("half_cycle")
        }
        row: dict[str, object] = {"cell_id": cell, "checkup_index": index, **dict.fromkeys(ROLES, np.nan)}
        for method in methods:
            row |= method.measure({name: half for name, half in halves.items() if len(half.time_s) > 1}, settings)
        rows.append(row)
    return pd.DataFrame(rows, columns=["cell_id", "checkup_index", *ROLES]).astype(dict.fromkeys(ROLES, "float64"))


def _half_cycle(rows_of_half: pd.DataFrame, nominal_capacity_Ah: float) -> HalfCycle:
    time, voltage, current = (rows_of_half[name].to_numpy(dtype=float) for name in ("time_s", "voltage_V", "current_A"))
    return HalfCycle.clean(time, voltage, current, nominal_capacity_Ah)
