"""Find the finished model to explain on demand, and the check-ups to explain it on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from battery_core.data.splits.cell_split import CellSplit
from battery_core.data.tables.labels import soh
from battery_core.data.tables.schema import join_rows
from battery_core.errors import DataError, nearest
from battery_core.files import read_json
from battery_core.predictors.pipeline import Pipeline
from battery_core.predictors.weighted_ensemble import WeightedEnsemble, load_predictor
from battery_core.release.model_registry import ModelRegistry
from battery_core.release.wire_format import CHALLENGER, CHAMPION, PREVIOUS
from battery_core.settings import Settings
from battery_core.stages.common import STAGE_FILE, read_table
from battery_core.stages.data.restore import find
from battery_core.stages.registry import open_registry
from battery_core.stages.training.candidate import PIPELINE_FOLDER

_SHOWN_NAMES = 3


def model_of(settings: Settings, which: str) -> Pipeline | WeightedEnsemble:
    """Return the challenger of a report, the model of a training run, or a registered version.

    Args:
        settings: folders and registry.
        which: folder below reports, or below runs; number or alias of a version, or ``name/number``.

    Raises:
        DataError: no model has that name.
    """
    reports, runs = (settings.folder("artifacts") / name for name in ("reports", "runs"))
    if "/" in which or which.isdigit() or which in (CHAMPION, CHALLENGER, PREVIOUS):
        version = find(settings, which)
        package = ModelRegistry(open_registry(settings), version.name).package(version)
        return load_predictor(package / "artifacts" / PIPELINE_FOLDER)
    run = (read_json(reports / which / "report.json") or {}).get("challenger", which)
    if (runs / run / PIPELINE_FOLDER).is_dir():
        return load_predictor(runs / run / PIPELINE_FOLDER)
    if run != which:
        raise DataError(f"explain: the model of report '{which}' is not in '{runs / run}' any more - name a version")
    changed_at = {path.parent.name: path.stat().st_mtime for path in reports.glob("*/report.json")}
    changed_at |= {path.parent.name: path.stat().st_mtime for path in runs.glob(f"*/{PIPELINE_FOLDER}")}
    newest = ", ".join(sorted(changed_at, key=lambda name: -changed_at[name])[:_SHOWN_NAMES]) or "none"
    hint = f"did you mean {near}? " if (near := nearest(which, changed_at)) else ""
    raise DataError(
        f"explain: no run '{which}' below '{reports}' or '{runs}': {hint}The newest: {newest} - name one of them, or a "
        "model version by number, alias such as champion, or NAME/NUMBER"
    )


def rows_of(settings: Settings, model: Pipeline | WeightedEnsemble) -> pd.DataFrame:
    """Return the labelled check-ups of the source of a model, from the present tables.

    ``subset`` is train, val, or unseen for cells outside training. If no split on disk has the cells of the model,
    all its cells are train.

    Raises:
        DataError: the source has no tables, or none of the training cells.
    """
    source, seen = str(model.metadata["source"]), set(model.metadata["seen_cells"])
    folder = tables_of(settings, model)
    cells, checkups = read_table(folder, "cells"), read_table(folder, "checkups")
    rows = join_rows(cells, checkups)
    rows["soh"] = soh(rows, cells, model.metadata["soh_reference"])
    rows = rows[rows["soh"].notna()].reset_index(drop=True)
    val: set[str] = set()
    for file in sorted(settings.folder("splits").glob(f"{source}*.json")):
        split = CellSplit.from_json(file.read_text())
        if {*split.train, *split.val} == seen:
            val = set(split.val)
            break
    subset = {cell: "val" if cell in val else "train" for cell in seen}
    rows["subset"] = rows["cell_id"].map(subset).fillna("unseen")
    if not (rows["subset"] == "train").any():
        raise DataError(
            f"explain: '{folder}' has none of the {len(seen)} cells that {model.model_name} was trained on - bring its "
            "data back with: python -m battery_core restore MODEL_VERSION"
        )
    return rows


def tables_of(settings: Settings, model: Pipeline | WeightedEnsemble) -> Path:
    """Return the folder of the normalized tables of the source of a model."""
    return settings.folder("data") / "normalized" / str(model.metadata["source"])


def notes_on(settings: Settings, model: Pipeline | WeightedEnsemble) -> list[str]:
    """Return notes for the reader of an explanation, such as tables that changed since training."""
    now = (read_json(tables_of(settings, model) / STAGE_FILE) or {}).get("version", "")
    if now == model.metadata.get("tables_version"):
        return []
    return ["explain: the tables are not those the model was trained on; explained on the check-ups as they are now"]


def known_cells(rows: pd.DataFrame, requested: Iterable[str]) -> Sequence[str]:
    """Return the requested cells, each once.

    Raises:
        DataError: a cell does not exist.
    """
    cells = set(rows["cell_id"])
    for cell in (requested := list(dict.fromkeys(requested))):
        if cell not in cells:
            hint = f"did you mean {near}? " if (near := nearest(cell, cells)) else ""
            raise DataError(f"explain: no cell '{cell}': {hint}There are {len(cells)} cells, e.g. '{min(cells)}'")
    return requested
