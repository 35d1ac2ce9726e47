"""Reader of CSV tables of the LG M50T set: two encodings of the degree sign, units from the header."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.errors import DataError
from battery_core.units import convert, split_header

Array = npt.NDArray[np.float64]


def read_table(path: Path, where: str) -> pd.DataFrame:
    """Read a CSV file as text; blank rows are dropped.

    Raises:
        DataError: it is not a table, or not text.
    """
    for encoding in ("utf-8-sig", "cp1252"):  # the degree sign of one header decides
        try:
            return pd.read_csv(path, encoding=encoding).dropna(how="all")
        except UnicodeDecodeError:
            continue
        except (pd.errors.EmptyDataError, pd.errors.ParserError) as err:
            raise DataError(f"{where}: {path.name} is not a CSV table ({err}) - fetch it again") from err
    raise DataError(f"{where}: {path.name} is not text; expected UTF-8 - fetch it again")


def headers_by_name(table: pd.DataFrame) -> dict[str, str]:
    """Return the header of each column by its ``name_key`` without unit."""
    return {name_key(split_header(str(header))[0]): str(header) for header in table.columns}


def name_key(name: str) -> str:
    """Return a name in lower case and without blanks, for comparison.

    Example:
        >>> name_key("Charge  Throughput ")
        'charge throughput'
    """
    return " ".join(name.lower().split())


def numbers(values: pd.Series[float], header: str, unit: str, where: str) -> Array:
    """Return one column as numbers in the wanted unit; a blank is a missing value, a word is refused.

    Raises:
        DataError: no unit in the header where one is needed, another quantity, or a word among the numbers.
    """
    stated = split_header(header)[1]
    if unit and not stated:
        raise DataError(
            f'{where}: column "{header}": expected its unit, like [{unit}]; found none - add it to the header'
        )
    try:
        parsed = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except ValueError as err:
        raise DataError(f'{where}: column "{header}": expected numbers; found a word ({err}) - mend it') from err
    try:
        return np.asarray(convert(parsed, stated, unit) if unit else parsed, dtype=np.float64)
    except DataError as err:
        raise DataError(f'{where}: column "{header}": {err}') from err
