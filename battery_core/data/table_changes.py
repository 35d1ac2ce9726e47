"""What is new in the tables since the version before: cells that came, went, grew or were corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

_NAMED = 3  # cells named in the message; the file has them all


@dataclass(frozen=True)
class TableChanges:
    """The difference of two versions of the tables.

    Args:
        previous_version: the version before; None where there was none.
        new_cells: cells that were not there before.
        gone_cells: cells that are not there any more.
        grown_cells: cells with more check-ups, and how many more.
        changed_cells: cells with as many check-ups or fewer, but other numbers.
    """

    previous_version: str | None
    new_cells: Sequence[str] = ()
    gone_cells: Sequence[str] = ()
    grown_cells: Mapping[str, int] | None = None
    changed_cells: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self) | {"grown_cells": dict(self.grown_cells or {})}

    def in_words(self) -> str:
        """One line for people.

        Example:
            >>> TableChanges("7d3f" * 16, new_cells=["A", "B"], grown_cells={"C": 2}).in_words()
            'new since version 7d3f7d3f7d3f: 2 new cells (A, B), 1 cell with more check-ups (C +2)'
        """
        if self.previous_version is None:
            return "the first version"
        grown = [f"{cell} +{more}" for cell, more in (self.grown_cells or {}).items()]
        said = [
            f"{len(names)} {one if len(names) == 1 else many} ({_some(names)})"
            for names, one, many in (
                (self.new_cells, "new cell", "new cells"),
                (self.gone_cells, "cell gone", "cells gone"),
                (grown, "cell with more check-ups", "cells with more check-ups"),
                (self.changed_cells, "corrected cell", "corrected cells"),
            )
            if names
        ]
        since = f"since version {self.previous_version[:12]}"
        return f"new {since}: {', '.join(said)}" if said else f"nothing new {since}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (" ..." if len(names) > _NAMED else "")


@dataclass(frozen=True)
class Manifest:
    """The cells of a version of the tables: number of check-ups and digest of what is kept of each."""

    version: str
    cells: Mapping[str, tuple[int, str]]

    def since(self, before: Manifest | None) -> TableChanges:
        """The changes that led from an earlier version here.

        Example:
            >>> before, now = Manifest("v1", {"A": (2, "a"), "B": (5, "b")}), Manifest("v2", {"A": (3, "c")})
            >>> now.since(before).gone_cells, now.since(before).grown_cells
            (['B'], {'A': 1})
        """
        if before is None:
            return TableChanges(None, new_cells=sorted(self.cells))
        both = sorted(self.cells.keys() & before.cells.keys())
        more = {cell: self.cells[cell][0] - before.cells[cell][0] for cell in both}
        grown = {cell: n for cell, n in more.items() if n > 0}
        return TableChanges(
            before.version,
            new_cells=sorted(self.cells.keys() - before.cells.keys()),
            gone_cells=sorted(before.cells.keys() - self.cells.keys()),
            grown_cells=grown,
            changed_cells=[c for c in both if c not in grown and self.cells[c][1] != before.cells[c][1]],
        )

    def as_json(self) -> dict[str, Any]:
        """To be kept."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Any) -> Manifest | None:
        """What was kept; None where there is nothing whole."""
        if not isinstance(content, dict) or not {"version", "cells"} <= content.keys():
            return None
        return cls(content["version"], {cell: (rows, digest) for cell, (rows, digest) in content["cells"].items()})
