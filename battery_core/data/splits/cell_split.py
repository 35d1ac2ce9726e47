"""The result of a split: three lists of cells, written to split.json for version control."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from battery_core.errors import SplitError

SUBSETS = ("train", "val", "test")


@dataclass(frozen=True)
class CellSplit:
    """Store the cell ids of training, validation and test: disjoint, none empty.

    Args:
        train: cells that models and scalers are fitted on.
        val: cells that stop the training and choose settings.
        test: cells for the final metrics; nothing is fitted or chosen on them.
        strategy: how the cells were divided.
        settings: the split settings in force, for comparison with a later run.
        unused: cells in no part, for instance at a temperature that no part names.

    Raises:
        SplitError: a part is empty, or a cell is in two parts.

    Example:
        >>> CellSplit(("A", "B"), ("C",), ("D",), "fixed").subset_of("C")
        'val'
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    strategy: str
    settings: dict[str, Any] = field(default_factory=dict)
    unused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for subset in SUBSETS:
            if not getattr(self, subset):
                raise SplitError(f"split '{self.strategy}': no cell in {subset}; every part needs at least one cell")
        subset_of_value: dict[str, str] = {}
        for subset in (*SUBSETS, "unused"):
            for cell in getattr(self, subset):
                if cell in subset_of_value:
                    raise SplitError(
                        f"split '{self.strategy}': cell '{cell}' is in {subset_of_value[cell]} and in {subset}"
                    )
                subset_of_value[cell] = subset

    def subset_of(self, cell_id: str) -> str:
        """Return train, val, test or unused; a cell that is not in the split is unused."""
        return next((subset for subset in SUBSETS if cell_id in getattr(self, subset)), "unused")

    def to_json(self) -> str:
        """Return the content of split.json; one line per cell, so that a diff shows each move."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> CellSplit:
        """Read the split that ``to_json`` wrote.

        Raises:
            SplitError: the text is not such a split.
        """
        try:
            content = json.loads(text)
            content |= {subset: tuple(content[subset]) for subset in (*SUBSETS, "unused")}
            return cls(**content)
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            raise SplitError(f"split.json cannot be read ({err!r}) - delete it and split again") from err


@dataclass(frozen=True)
class ChosenCells:
    """Store the cells that a strategy chose: test cells, and validation and training cells where it sets them."""

    test: tuple[str, ...]
    val: tuple[str, ...] | None = None  # None: taken out of the training cells, at least one per condition
    train: tuple[str, ...] | None = None  # None: all other cells
