"""What is new in one table of check-ups since another: cells that came, went, grew or were corrected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

Changes = dict[str, Any]
_KEY = ["cell_id", "checkup_index"]


def changes_between(before: pd.DataFrame | None, now: pd.DataFrame, previous_version: str = "") -> Changes:
    """What is new in a table of check-ups since an earlier one.

    Args:
        before: the earlier table of check-ups; None when there was none: every cell is new.
        now: the table as it is.
        previous_version: version of the earlier table, kept in the answer.

    Returns:
        ``previous_version``, ``new_cells``, ``gone_cells``, ``grown_cells`` (how many check-ups more, by cell) and
        ``changed_cells`` (a check-up known before has another value now, or is gone). A cell may be both.

    Example:
        >>> import pandas as pd
        >>> old = pd.DataFrame({"cell_id": ["A", "B"], "checkup_index": [0, 0], "capacity_Ah": [5.0, 4.9]})
        >>> new = pd.DataFrame({"cell_id": ["A", "A"], "checkup_index": [0, 1], "capacity_Ah": [5.0, 4.8]})
        >>> in_words(changes_between(old, new, "1f"))
        '1 cell gone (B), 1 grown by 1 check-up (A)'
    """
    cells = set(now["cell_id"])
    known = set() if before is None else set(before["cell_id"])
    found: Changes = {
        "previous_version": previous_version,
        "new_cells": sorted(cells - known),
        "gone_cells": sorted(known - cells),
        "grown_cells": {},
        "changed_cells": [],
    }
    if before is None or not cells & known:
        return found
    old, new = _fingerprints(before, cells & known), _fingerprints(now, cells & known)
    more = new.index.difference(old.index).get_level_values("cell_id")
    found["grown_cells"] = {str(cell): int(n) for cell, n in sorted(more.value_counts().items())}
    same_columns = sorted(before.columns) == sorted(now.columns)
    corrected = new.reindex(old.index) != old  # a row that is gone has no fingerprint now: it differs too
    changed = old.index[corrected].get_level_values("cell_id") if same_columns else sorted(cells & known)
    found["changed_cells"] = sorted({str(cell) for cell in changed})
    return found


def _fingerprints(checkups: pd.DataFrame, cells: set[str]) -> pd.Series[Any]:
    """A hash of each row's values, by cell and check-up; the order of rows and columns plays no part."""
    import pandas as pd

    rows = checkups[checkups["cell_id"].isin(cells)].set_index(_KEY).sort_index(axis=1)
    return pd.util.hash_pandas_object(rows, index=False)


def in_words(changes: Mapping[str, Any], names: int = 3) -> str:
    """What is new, in one line; empty when nothing is.

    Example:
        >>> nothing = dict.fromkeys(("new_cells", "gone_cells", "changed_cells"), [])
        >>> in_words({**nothing, "new_cells": ["A", "B", "C", "D"], "grown_cells": {}})
        '4 cells new (A, B, C, ...)'
        >>> in_words({**nothing, "grown_cells": {}})
        ''
    """
    grown: Mapping[str, int] = changes["grown_cells"]
    more = sum(grown.values())
    parts = [
        (changes["new_cells"], "new"),
        (changes["gone_cells"], "gone"),
        (list(grown), f"grown by {more} check-up{'s'[: more != 1]}"),
        (changes["changed_cells"], "with corrected rows"),
    ]
    said: list[str] = []
    for cells, what in ((cells, what) for cells, what in parts if cells):
        unit = "" if said else f" cell{'s'[: len(cells) != 1]}"
        shown = ", ".join(cells[:names]) + (", ..." if len(cells) > names else "")
        said.append(f"{len(cells)}{unit} {what} ({shown})")
    return ", ".join(said)
