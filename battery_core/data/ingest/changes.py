"""The changes between two versions of the tables: cells that are new, gone, grown or corrected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from battery_core.data.ingest.cache import CellCache

Changes = dict[str, Any]
_KEY = ["cell_id", "checkup_index"]
_DIGESTS = "arrays"  # how the digest of a cell is made: digests of an earlier kind cannot be compared with these


@dataclass(frozen=True)
class Manifest:
    """Store the cells of a version of the tables: the cache key of each, and a digest of its content."""

    version: str
    cells: Mapping[str, tuple[str, str]]

    def as_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        return {"digests": _DIGESTS, "version": self.version, "cells": dict(self.cells)}

    @classmethod
    def from_json(cls, content: Any) -> Manifest | None:
        """Return the manifest; None where the content is incomplete, or has digests of an earlier format."""
        if (
            not isinstance(content, dict)
            or content.get("digests") != _DIGESTS
            or not {"version", "cells"} <= content.keys()
        ):
            return None
        return cls(content["version"], {cell: (key, digest) for cell, (key, digest) in content["cells"].items()})


def changes_since(before: Manifest | None, now: Manifest, cache: CellCache) -> Changes:
    """Return the changes from one version to another, as ``changes_between`` does for two tables.

    Only cells whose content differs are compared row by row; one whose earlier rows are not cached any more counts as
    changed.

    Example:
        >>> from pathlib import Path
        >>> from battery_core.data.ingest.cache import CellCache
        >>> first, second = Manifest("v1", {"A": ("k", "1")}), Manifest("v2", {"A": ("k", "1"), "B": ("l", "2")})
        >>> changes_since(first, second, CellCache(Path("none")))["new_cells"]
        ['B']
    """
    earlier = before.cells if before else {}
    changes = _no_changes(before.version if before else "")
    changes["new_cells"] = sorted(now.cells.keys() - earlier.keys())
    changes["gone_cells"] = sorted(earlier.keys() - now.cells.keys())
    for cell in sorted(now.cells.keys() & earlier.keys()):
        (old_key, old_digest), (new_key, new_digest) = earlier[cell], now.cells[cell]
        if old_digest != new_digest:
            old, new = cache.load(old_key), cache.load(new_key)
            if old is None or new is None:
                changes["changed_cells"].append(cell)
                continue
            one = changes_between(*(tables.checkups.to_pandas().assign(cell_id=cell) for tables in (old, new)))
            changes["grown_cells"] |= one["grown_cells"]
            if one["changed_cells"] or not one["grown_cells"]:  # same check-ups: curves or cell metadata differ
                changes["changed_cells"].append(cell)
    return changes


def changes_between(before: pd.DataFrame | None, now: pd.DataFrame, previous_version: str = "") -> Changes:
    """Return the changes of a table of check-ups since an earlier one.

    Args:
        before: the earlier table of check-ups; None when there was none: every cell is new.
        now: the table as it is.
        previous_version: version of the earlier table, copied into the result.

    Returns:
        ``previous_version``, ``new_cells``, ``gone_cells``, ``grown_cells`` (number of added check-ups, by cell) and
        ``changed_cells`` (an earlier check-up has another value now, or is gone). A cell may be both.

    Example:
        >>> old = pd.DataFrame({"cell_id": ["A", "B"], "checkup_index": [0, 0], "capacity_Ah": [5.0, 4.9]})
        >>> new = pd.DataFrame({"cell_id": ["A", "A"], "checkup_index": [0, 1], "capacity_Ah": [5.0, 4.8]})
        >>> describe_changes(changes_between(old, new, "1f"))
        '1 cell gone (B), 1 grown by 1 check-up (A)'
    """
    cells = set(now["cell_id"])
    earlier = set() if before is None else set(before["cell_id"])
    changes = _no_changes(previous_version)
    changes["new_cells"], changes["gone_cells"] = sorted(cells - earlier), sorted(earlier - cells)
    if before is None or not cells & earlier:
        return changes
    old, new = _row_hashes(before, cells & earlier), _row_hashes(now, cells & earlier)
    added = new.index.difference(old.index).get_level_values("cell_id")
    changes["grown_cells"] = {str(cell): int(n) for cell, n in sorted(added.value_counts().items())}
    has_same_columns = sorted(before.columns) == sorted(now.columns)
    is_corrected = new.reindex(old.index) != old  # a row that is gone has no hash now: it differs too
    changed = old.index[is_corrected].get_level_values("cell_id") if has_same_columns else sorted(cells & earlier)
    changes["changed_cells"] = sorted({str(cell) for cell in changed})
    return changes


def _no_changes(previous_version: str) -> Changes:
    return {
        "previous_version": previous_version,
        "new_cells": [],
        "gone_cells": [],
        "grown_cells": {},
        "changed_cells": [],
    }


def _row_hashes(checkups: pd.DataFrame, cells: set[str]) -> pd.Series[Any]:
    """Return a hash of each row's values, by cell and check-up; the order of rows and columns plays no part."""
    rows = checkups[checkups["cell_id"].isin(cells)].set_index(_KEY).sort_index(axis=1)
    return pd.util.hash_pandas_object(rows, index=False)


def describe_changes(changes: Mapping[str, Any], max_names: int = 3) -> str:
    """Return the changes in one line; an empty text when there are none.

    Example:
        >>> unchanged = dict.fromkeys(("new_cells", "gone_cells", "changed_cells"), [])
        >>> describe_changes({**unchanged, "new_cells": ["A", "B", "C", "D"], "grown_cells": {}})
        '4 cells new (A, B, C, ...)'
        >>> describe_changes({**unchanged, "grown_cells": {}})
        ''
    """
    grown: Mapping[str, int] = changes["grown_cells"]
    added = sum(grown.values())
    groups = [
        (changes["new_cells"], "new"),
        (changes["gone_cells"], "gone"),
        (list(grown), f"grown by {added} check-up{'s'[: added != 1]}"),
        (changes["changed_cells"], "with corrected rows"),
    ]
    phrases: list[str] = []
    for cells, change in ((cells, change) for cells, change in groups if cells):
        unit = "" if phrases else f" cell{'s'[: len(cells) != 1]}"
        shown = ", ".join(cells[:max_names]) + (", ..." if len(cells) > max_names else "")
        phrases.append(f"{len(cells)}{unit} {change} ({shown})")
    return ", ".join(phrases)
