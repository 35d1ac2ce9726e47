"""The frame that training and evaluation share: every labelled check-up with its cell, its subset and its SOH."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NewType

import pandas as pd

from battery_core.data.tables import schema

if TYPE_CHECKING:
    from pandera.pandas import DataFrameSchema

LabelledRows = NewType("LabelledRows", pd.DataFrame)
"""A frame that passed ``check_labelled_rows``; one row a check-up, sorted by cell and check-up.

Columns, beside the measured ones of the source (float64, NaN where not measured):

- those of the cells table: ``cell_id``, ``source``, ``group``, ``chemistry``, ``nominal_capacity_Ah``,
  ``ambient_temperature_degC``, ``protocol``;
- those of the check-ups table: ``checkup_index`` (int64), ``cycle_count``, ``time_days``, ``throughput_Ah``,
  ``capacity_Ah``, ``resistance_ohm``;
- ``subset``: ``train``, ``val``, ``test`` or ``unused``, the same for all rows of a cell;
- ``soh``: the label, a fraction; 1.0 is fresh; never missing.
"""

SUBSETS = ("train", "val", "test", "unused")
"""Values of the column ``subset``."""


def check_labelled_rows(rows: pd.DataFrame) -> LabelledRows:
    """Validate labelled rows; pandera runs only where the fast check cannot decide.

    Raises:
        DataError: the first problem, and how many more there are.

    Example:
        >>> cells = pd.DataFrame([["A", "lab", "g", "NMC", 5.0, 25.0, "1C"]], columns=schema.CELL_COLUMNS)
        >>> checkups = pd.DataFrame([["A", 0, 0.0, 0.0, 0.0, 4.9, 0.03]], columns=schema.CHECKUP_COLUMNS)
        >>> rows = schema.join_rows(cells, checkups).assign(subset="val", soh=0.98)
        >>> len(check_labelled_rows(rows))
        1
    """
    remedy = "split again, or join the rows with join_rows"
    return LabelledRows(schema.check_table("labelled rows", rows, _labelled_schema(), remedy=remedy))


@cache
def _labelled_schema() -> DataFrameSchema:
    import pandera.pandas as pa  # half a second, and training needs it only where a check fails

    columns = schema.cells_schema().columns | schema.checkups_schema(()).columns
    columns |= {
        "cell_id": pa.Column(str, pa.Check.str_length(min_value=1), coerce=True),
        "subset": pa.Column(str, pa.Check.isin(SUBSETS), coerce=True),
        "soh": schema.number_column(above=0.0, nullable=False),
    }
    return pa.DataFrameSchema(columns, unique=["cell_id", "checkup_index"])
