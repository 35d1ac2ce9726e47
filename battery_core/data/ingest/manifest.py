"""The cells of a version of the tables, and what is new between two versions: only cells that differ are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from battery_core.data.ingest.cache import CellStore
from battery_core.data.ingest.changes import Changes, changes_between

_DIGESTS = "columns"  # what a cell's digest is made of: digests of an earlier kind cannot be compared with these


@dataclass(frozen=True)
class Manifest:
    """The cells of a version of the tables: where each is kept, and a digest of what is kept of it."""

    version: str
    cells: Mapping[str, tuple[str, str]]

    def as_json(self) -> dict[str, Any]:
        """To be kept."""
        return {"digests": _DIGESTS, "version": self.version, "cells": dict(self.cells)}

    @classmethod
    def from_json(cls, content: Any) -> Manifest | None:
        """What was kept; None where there is nothing whole, or where other digests were made."""
        if (
            not isinstance(content, dict)
            or content.get("digests") != _DIGESTS
            or not {"version", "cells"} <= content.keys()
        ):
            return None
        return cls(content["version"], {cell: (key, digest) for cell, (key, digest) in content["cells"].items()})


def changes_since(before: Manifest | None, now: Manifest, store: CellStore) -> Changes:
    """The changes that led from one version to another, as ``data.ingest.changes`` tells them of two tables.

    Only cells whose content differs are compared row by row; one whose earlier rows are not kept any more counts as
    changed.

    Example:
        >>> from pathlib import Path
        >>> first, second = Manifest("v1", {"A": ("k", "1")}), Manifest("v2", {"A": ("k", "1"), "B": ("l", "2")})
        >>> changes_since(first, second, CellStore(Path("none")))["new_cells"]
        ['B']
    """
    earlier = before.cells if before else {}
    found: Changes = {
        "previous_version": before.version if before else "",
        "new_cells": sorted(now.cells.keys() - earlier.keys()),
        "gone_cells": sorted(earlier.keys() - now.cells.keys()),
        "grown_cells": {},
        "changed_cells": [],
    }
    for cell in sorted(now.cells.keys() & earlier.keys()):
        (old_key, old_digest), (new_key, new_digest) = earlier[cell], now.cells[cell]
        if old_digest != new_digest:
            old, new = store.load(old_key), store.load(new_key)
            if old is None or new is None or old.checkups is None or new.checkups is None:
                found["changed_cells"].append(cell)
                continue
            columns = sorted({*old.checkups.names, *new.checkups.names})
            then, today = (block.frame(columns).assign(cell_id=cell) for block in (old.checkups, new.checkups))
            one = changes_between(then, today)
            found["grown_cells"] |= one["grown_cells"]
            if one["changed_cells"] or not one["grown_cells"]:  # the same check-ups: its curves or its facts differ
                found["changed_cells"].append(cell)
    return found
