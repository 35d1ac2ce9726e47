"""Split the cells into training, validation and test cells."""

from __future__ import annotations

from pathlib import Path

from battery_core.artifacts import StageResult
from battery_core.data.splits.cell_split import CellSplit
from battery_core.data.splits.make import make_split
from battery_core.data.splits.make import resolve as resolve_split
from battery_core.data.versioning.content import file_sha256
from battery_core.files import write_text
from battery_core.settings import Settings
from battery_core.stages.common import read_table, source_of, stage_key


def split(settings: Settings, tables: StageResult | None = None) -> StageResult:
    """Split the cells into training, validation and test; cells of an earlier split keep their subset.

    The frozen split of a source is never overwritten: a split with other settings gets a separate file beside it.

    Raises:
        SplitError: the split cannot be made from the present cells.
    """
    folder = tables.path if tables else settings.folder("data") / "normalized" / settings.data.source
    source = source_of(settings)
    frozen, file = _frozen(settings), split_file(settings)
    before = _read_split(file)
    made = make_split(read_table(folder, "cells"), settings.split, source, before)
    unchanged = before == made
    if not unchanged:
        write_text(file, made.to_json())
    sizes = f"{len(made.train)} train / {len(made.val)} validation / {len(made.test)} test cells"
    state = "unchanged, skipped" if unchanged else "frozen"
    if file != frozen:
        state += f" in '{file.name}'; '{frozen}' has other settings and stays: delete it to replace it"
    return StageResult(file, file_sha256(file), unchanged, f"split: {made.strategy}: {sizes}, {state}")


def split_file(settings: Settings) -> Path:
    """Return the split file of these settings: the frozen one, or a file beside a frozen one with other settings."""
    frozen, wanted = _frozen(settings), resolve_split(settings.split, source_of(settings)).model_dump(mode="json")
    before = _read_split(frozen)
    if before is None or before.settings == wanted:
        return frozen
    return frozen.with_name(f"{frozen.stem}-{stage_key(wanted)[:8]}.json")


def _frozen(settings: Settings) -> Path:
    return settings.folder("splits") / f"{settings.data.source}.json"


def _read_split(file: Path) -> CellSplit | None:
    return CellSplit.from_json(file.read_text()) if file.is_file() else None
