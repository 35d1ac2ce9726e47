"""State of health: capacity as a fraction of a reference capacity that is always stated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from battery_core.data.tables.roles import SohReference
from battery_core.errors import DataError


def soh(checkups: pd.DataFrame, cells: pd.DataFrame, reference: SohReference = "nominal") -> pd.Series[float]:
    """Return SOH of each check-up: capacity / nominal capacity, or / capacity of the first check-up of the cell.

    With ``first_checkup`` the first check-up is 1.0 by definition and does not measure a model.

    Units: fraction, 1.0 is fresh. Index: that of ``checkups``.

    Raises:
        DataError: a cell has no reference capacity.

    Example:
        >>> import pandas as pd
        >>> cells = pd.DataFrame({"cell_id": ["A"], "nominal_capacity_Ah": [5.0]})
        >>> checkups = pd.DataFrame({"cell_id": "A", "checkup_index": [0, 1], "capacity_Ah": [4.8, 4.5]})
        >>> soh(checkups, cells).tolist(), soh(checkups, cells, "first_checkup").tolist()
        ([0.96, 0.9], [1.0, 0.9375])
    """
    if reference == "nominal":
        by_cell = cells.set_index("cell_id")["nominal_capacity_Ah"]
    else:
        by_cell = checkups.sort_values("checkup_index", kind="stable").groupby("cell_id")["capacity_Ah"].first()
    codes, names = pd.factorize(checkups["cell_id"])  # names are compared once a cell, not once a check-up
    fraction = fractions(checkups["capacity_Ah"].to_numpy(dtype=float), codes, names, by_cell.to_dict(), reference)
    return pd.Series(fraction, index=checkups.index, name="soh")


def fractions(capacity: Any, codes: Any, names: Any, references: Mapping[Any, float], reference: SohReference) -> Any:
    """Return SOH from arrays: capacities in Ah, of the cells ``names[codes]`` with reference capacities in Ah.

    Shape: (rows,), as ``capacity`` and ``codes``.

    Raises:
        DataError: a cell has no reference capacity.

    Example:
        >>> import numpy as np
        >>> fractions(np.array([4.0, 1.0]), np.array([0, 1]), ["A", "B"], {"A": 5.0, "B": 2.0}, "nominal").tolist()
        [0.8, 0.5]
    """
    cell_references = [references.get(name, np.nan) for name in names]
    divisor = np.append(np.array(cell_references, dtype=float), np.nan)[codes]  # a row without a cell has code -1
    if not (divisor > 0).all():
        cell = [*names, None][codes[np.argmin(divisor > 0)]]
        raise DataError(
            f"cell '{cell}': no positive {reference} capacity to divide by - "
            "state nominal_capacity_Ah in the cells table or choose the other data.soh_reference"
        )
    return capacity / divisor
