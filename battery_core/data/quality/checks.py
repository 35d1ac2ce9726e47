"""Quality checks of rows: each problem is flagged, or the row is quarantined and counted; none is dropped silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd

from battery_core.data.quality.across_cells import AcrossCells, summarise
from battery_core.data.quality.rules import check_rows
from battery_core.data.tables.issues import Issue as Issue
from battery_core.errors import DataError

if TYPE_CHECKING:
    from battery_core.data.settings import DataSettings


def check_quality(
    cells: pd.DataFrame, checkups: pd.DataFrame, settings: DataSettings
) -> tuple[pd.DataFrame, list[Issue]]:
    """Return check-ups with a usable label, and all issues, for tables in memory.

    Raises:
        DataError: a cell has no usable label at all, a unit is wrong, or too many rows are quarantined.
    """
    checked = check_rows(cells, checkups, settings)
    across = AcrossCells()
    for cell in summarise(checked.rows):
        across.add(cell)
    check_share(len(checkups), len(checked.quarantined), checked.issues, settings.max_quarantine_share)
    return checked.checkups, checked.issues + across.issues()


def check_share(rows_read: int, rows_quarantined: int, issues: Iterable[Issue], limit: float) -> None:
    """Refuse data with a larger share of quarantined rows than the limit.

    Raises:
        DataError: the share is above ``limit``; the text names the commonest reason.

    Example:
        >>> check_share(10, 0, [], limit=0.2)
    """
    if rows_quarantined > limit * rows_read:
        bad = [f for f in issues if f.action == "quarantined"]
        rule, count = Counter(f"{f.rule} in {f.column}" for f in bad).most_common(1)[0]
        raise DataError(
            f"quality: {rows_quarantined} of {rows_read} check-ups are quarantined, at most {limit:.0%} are allowed; "
            f"commonest: {rule} ({count} times, first in cell '{bad[0].cell_id}') - mend the raw files or raise "
            "data.max_quarantine_share"
        )


def summary(rows_read: int, rows_kept: int, rows_quarantined: int, issues: Iterable[Issue]) -> dict[str, Any]:
    """Return the content of quality.json: counts, then every issue.

    Raises:
        DataError: some rows are neither in the table nor quarantined; a reader lost them.

    Example:
        >>> summary(2, 2, 0, [])["rows_kept"]
        2
    """
    issues = list(issues)
    check_count("quality", rows_read, rows_kept, rows_quarantined)
    return {
        "rows_read": rows_read,
        "rows_kept": rows_kept,
        "rows_quarantined": rows_quarantined,
        "counts": dict(sorted(Counter(f"{f.action}: {f.rule}" for f in issues).items())),
        "findings": [vars(f) for f in issues],
    }


def check_count(where: str, rows_read: int, rows_kept: int, rows_quarantined: int) -> None:
    """Check that the rows read are the rows in the table and the rows quarantined.

    Raises:
        DataError: they are not; the reader lost some, or made some up.

    Example:
        >>> check_count("cell 'A'", 3, 2, 1)
    """
    if rows_read != rows_kept + rows_quarantined:
        raise DataError(
            f"{where}: read {rows_read} check-ups, kept {rows_kept} and quarantined {rows_quarantined}: "
            f"{rows_read - rows_kept - rows_quarantined} are unaccounted for - the reader lost them, please report it"
        )
