"""Schemas of the canonical tables: columns, units and ranges, and their validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from battery_core.data.tables.fast_check import passes_fast_check
from battery_core.errors import DataError

if TYPE_CHECKING:
    from pandera.pandas import Column, DataFrameSchema

    from battery_core.data.tables.cell_rows import CellRows

CELL_COLUMNS = (
    "cell_id", "source", "group", "chemistry", "nominal_capacity_Ah", "ambient_temperature_degC", "protocol",
)  # fmt: skip
TEXT_COLUMNS = ("cell_id", "source", "group", "chemistry", "protocol")
CHECKUP_COLUMNS = (
    "cell_id", "checkup_index", "cycle_count", "time_days", "throughput_Ah", "capacity_Ah", "resistance_ohm",
)  # fmt: skip
CURVE_COLUMNS = (
    "cell_id", "checkup_index", "half_cycle", "time_s", "voltage_V", "current_A", "capacity_Ah", "temperature_degC",
)  # fmt: skip

_KINDS = {"cell_id": "text", "half_cycle": "text", "checkup_index": "count"}


def check_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """Validate the table of cells.

    Raises:
        DataError: the first violation, and the number of further ones.
    """
    return check_table("cells", cells, cells_schema())


def check_checkups(checkups: pd.DataFrame, extra: Iterable[str] = (), rows: CellRows | None = None) -> pd.DataFrame:
    """Validate the table of check-ups with the source's own measured columns.

    Args:
        checkups: the table.
        extra: the source's own columns.
        rows: its numeric arrays, if available; they have ranges.

    Raises:
        DataError: the first violation, and the number of further ones.
    """
    return check_table("checkups", checkups, checkups_schema(tuple(extra)), rows)


def check_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Validate the table of time series (charge current is positive).

    Raises:
        DataError: the first violation, and the number of further ones.
    """
    return check_table("curves", curves, curves_schema())


def cells_arrow() -> pa.Schema:
    """Return the types of the table of cells on disk."""
    return _arrow({name: "text" if name in TEXT_COLUMNS else "number" for name in CELL_COLUMNS})


def checkups_arrow(extra: Iterable[str] = ()) -> pa.Schema:
    """Return the types of the table of check-ups on disk."""
    return _arrow({name: _KINDS.get(name, "number") for name in (*CHECKUP_COLUMNS, *extra)})


def curves_arrow() -> pa.Schema:
    """Return the types of the time series on disk."""
    return _arrow({name: _KINDS.get(name, "number") for name in CURVE_COLUMNS})


def quarantine_arrow(extra: Iterable[str] = ()) -> pa.Schema:
    """Return the types of the table of quarantined rows: the values read, and the reason."""
    kinds = {name: _KINDS.get(name, "number") for name in (*CHECKUP_COLUMNS, *extra)}
    return _arrow({**kinds, "rule": "text", "reason": "text"})


def as_arrow(frame: pd.DataFrame, types: pa.Schema) -> pa.Table:
    """Return a table with exactly these columns, in this order; a missing number is null."""
    return pa.Table.from_pandas(frame, schema=types, preserve_index=False, nthreads=1).replace_schema_metadata(None)


def _arrow(kinds: Mapping[str, str]) -> pa.Schema:
    types = {"text": pa.large_string(), "count": pa.int64(), "number": pa.float64()}
    return pa.schema([(name, types[kind]) for name, kind in kinds.items()])


def join_rows(cells: pd.DataFrame, checkups: pd.DataFrame) -> pd.DataFrame:
    """Join raw measured rows for a model: each check-up with the metadata of its cell.

    Sorted by cell and check-up, with a fresh index.

    Raises:
        DataError: a check-up belongs to no cell in ``cells``.

    Example:
        >>> import pandas as pd
        >>> cells = pd.DataFrame({"cell_id": ["A"], "chemistry": ["NMC"]})
        >>> join_rows(cells, pd.DataFrame({"cell_id": "A", "checkup_index": [1, 0]}))["checkup_index"].tolist()
        [0, 1]
    """
    if strangers := sorted(set(checkups["cell_id"]) - set(cells["cell_id"])):
        raise DataError(
            f"checkups: cell '{strangers[0]}' is not in the cells table ({len(strangers)} such cells) - add its row"
        )
    rows = checkups.merge(cells, on="cell_id", how="left", validate="many_to_one")
    return rows.sort_values(["cell_id", "checkup_index"], kind="stable").reset_index(drop=True)


def check_table(
    table: str,
    frame: pd.DataFrame,
    schema: DataFrameSchema,
    rows: CellRows | None = None,
    remedy: str = "correct the source's reader or its raw file",
) -> pd.DataFrame:
    """Validate a table against a pandera schema; pandera itself runs only where the fast check cannot decide.

    Args:
        table: its name, for the error.
        frame: the table.
        schema: its columns and their checks.
        rows: its numbers, where they are at hand: their ranges are computed already.
        remedy: what to do about a failure, for the error.

    Raises:
        DataError: the first failure, and how many more there are.
    """
    import pandera.errors

    if passes_fast_check(frame, schema, rows):
        return frame
    try:
        checked: pd.DataFrame = schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as err:
        line = _describe_failures(table, frame, err.failure_cases)
        raise DataError(f"{line} - {remedy}") from None  # pandera's own text is pages long
    return checked


def _describe_failures(table: str, frame: pd.DataFrame, failures: pd.DataFrame) -> str:
    first = failures.iloc[0]
    column, check, case, row = first["column"], first["check"], first["failure_case"], first["index"]
    if check == "column_in_dataframe":
        problem = f"no column '{case}'; found {', '.join(map(str, frame.columns))}"
    elif check == "column_in_schema":
        problem = f"column '{case}' is not expected; declare it with its role in the source"
    elif row is not None and row == row and "cell_id" in frame and row in frame.index:  # row == row: not NaN
        problem = (
            f"cell '{frame.loc[row, 'cell_id']}', row {int(row)}: {column} is {case}, expected {_describe_check(check)}"
        )
    else:
        problem = f"column '{column}': expected {_describe_check(check)}, got {case}"
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    return f"{table}: {problem}{more}"


def _describe_check(check: str) -> str:
    """Return a pandera check in plain words."""
    words = {
        "not_nullable": "a value",
        "field_uniqueness": "each one once",
        "multiple_fields_uniqueness": "each check-up of a cell once",
        "coerce_dtype('float64')": "a number",
        "dtype('int64')": "whole numbers (int64)",
    }
    return words.get(check, check.replace("_", " "))


@cache
def cells_schema() -> DataFrameSchema:
    """Return the pandera schema of the table of cells."""
    import pandera.pandas as pa

    text = {name: pa.Column(str, coerce=True) for name in ("source", "group", "chemistry", "protocol")}
    return pa.DataFrameSchema(
        {
            "cell_id": pa.Column(str, pa.Check.str_length(min_value=1), unique=True, coerce=True),
            **text,
            "nominal_capacity_Ah": number_column(above=0.0, nullable=False),
            "ambient_temperature_degC": number_column(at_least=-50.0, at_most=100.0),
        },
        strict=True,
    )


@cache
def checkups_schema(extra: tuple[str, ...]) -> DataFrameSchema:
    """Return the pandera schema of the table of check-ups with the columns of a source."""
    import pandera.pandas as pa

    return pa.DataFrameSchema(
        {
            "cell_id": pa.Column(str, coerce=True),
            "checkup_index": pa.Column("int64", pa.Check.ge(0)),
            "cycle_count": number_column(at_least=0.0),
            "time_days": number_column(at_least=0.0),
            "throughput_Ah": number_column(at_least=0.0),
            "capacity_Ah": number_column(above=0.0, nullable=False),
            "resistance_ohm": number_column(above=0.0),
            **{name: number_column() for name in extra},
        },
        strict=True,
        unique=["cell_id", "checkup_index"],
    )


@cache
def curves_schema() -> DataFrameSchema:
    """Return the pandera schema of the time series."""
    import pandera.pandas as pa

    return pa.DataFrameSchema(
        {
            "cell_id": pa.Column(str, coerce=True),
            "checkup_index": pa.Column("int64", pa.Check.ge(0)),
            "half_cycle": pa.Column(str, pa.Check.isin(["charge", "discharge"]), coerce=True),
            "time_s": number_column(at_least=0.0, nullable=False),
            "voltage_V": number_column(above=0.0, at_most=10.0, nullable=False),
            "current_A": number_column(nullable=False),
            "capacity_Ah": number_column(),
            "temperature_degC": number_column(at_least=-50.0, at_most=150.0),
        },
        strict=True,
    )


def number_column(
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    nullable: bool = True,
) -> Column:
    """Return a float column: finite (or missing, where that is allowed) and within its range."""
    import pandera.pandas as pa

    checks = [pa.Check(lambda s: ~np.isinf(s), name="is_finite", error="a finite number")]
    checks += [] if above is None else [pa.Check.gt(above)]
    checks += [] if at_least is None else [pa.Check.ge(at_least)]
    checks += [] if at_most is None else [pa.Check.le(at_most)]
    return pa.Column("float64", checks, nullable=nullable, coerce=True)
