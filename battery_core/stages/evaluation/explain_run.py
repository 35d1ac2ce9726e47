"""Explain one finished model on demand: figures, and a table of the feature contributions to each estimate."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from battery_core.errors import SettingsError
from battery_core.evaluation.explain import contributions as explain
from battery_core.evaluation.explain.contributions import Contributions
from battery_core.evaluation.metrics.per_cell import per_cell_errors
from battery_core.predictors.pipeline import Pipeline
from battery_core.predictors.weighted_ensemble import WeightedEnsemble
from battery_core.reporting.figures.explain import draw_shap_summary, draw_waterfall
from battery_core.reporting.figures.sequences import draw_attention, draw_latent_paths
from battery_core.settings import Settings
from battery_core.stages.evaluation.explain_subject import known_cells, model_of, notes_on, rows_of

VALUES_FILE = "values.parquet"
_BACKGROUND = 64


def explain_run(
    settings: Settings,
    which: str,
    cells: Sequence[str] = (),
    rows: int = 200,
    to: Path | None = None,
    log: Callable[[str], None] = print,
) -> list[str]:
    """Explain the challenger of a report, the model of a training run, or a registered version.

    Each member of an ensemble is explained.

    Args:
        settings: folders and registry.
        which: see ``model_of``.
        cells: cells to explain; by default the worst, median and best of the cells outside training.
        rows: check-ups to explain, evenly over those cells; the last and the worst of each cell are added.
        to: folder for the figures and the table; default artifacts/explanations/<which>.
        log: called with a line for each member.

    Raises:
        DataError: the run, version or cell does not exist, or the data are missing.
    """
    if rows < 1:
        raise SettingsError(f"explain: --rows must be at least 1, got {rows}")
    model = model_of(settings, which)
    labelled = rows_of(settings, model)
    for note in notes_on(settings, model):
        log(note)
    chosen_cells = known_cells(labelled, cells) or _three_cells(labelled, model)
    folder = to or settings.folder("artifacts") / "explanations" / _file_name(which)
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    values = []
    for _, member in model.weighted_pipelines:
        log(f"explain: {member.model_name}: {len(chosen_cells)} cells")
        if member.feature_pipeline.takes_sequences:
            made += _explain_sequences(folder, member, labelled, chosen_cells)
            continue
        contributions, figures = _explain_vectors(folder, member, labelled, chosen_cells, rows)
        made += figures
        values.append(_as_table(member, contributions))
    if values:
        pd.concat(values).to_parquet(folder / VALUES_FILE, index=False)
        made.append(folder / VALUES_FILE)
    return [f"explain: {which}: {model.model_name} of {model.metadata['label']}", *(f"  {file}" for file in made)]


def _three_cells(rows: pd.DataFrame, model: Pipeline | WeightedEnsemble) -> list[str]:
    """Return the worst, median and best of the cells outside training; of all cells if there are none."""
    scored = rows[rows["subset"] == "unseen"] if (rows["subset"] == "unseen").any() else rows
    order = per_cell_errors(scored["cell_id"], scored["soh"], model.predict(scored)).worst_first()
    return list(dict.fromkeys([order[0], order[len(order) // 2], order[-1]]))


def _explain_vectors(
    folder: Path, member: Pipeline, rows: pd.DataFrame, cells: Sequence[str], most: int
) -> tuple[Contributions, list[Path]]:
    """Draw and return the contributions of the features of a member, for at least the last and worst check-ups."""
    features = explain.FeatureRows.from_rows(member, rows[rows["cell_id"].isin(cells)].reset_index(drop=True))
    error = np.abs(explain.estimate_soh(member, features.x) - features.rows["soh"].to_numpy())
    positions = {cell: np.flatnonzero((features.rows["cell_id"] == cell).to_numpy()) for cell in cells}
    number = features.rows["checkup_index"].to_numpy()
    special = {
        cell: {"last check-up": at[number[at].argmax()], "worst estimate": at[error[at].argmax()]}
        for cell, at in positions.items()
    }
    always = [at for of_cell in special.values() for at in of_cell.values()]
    even = np.linspace(0, len(features.x) - 1, min(most, len(features.x))).round().astype(int)
    chosen = np.union1d(even, always)
    explained = features.take(chosen)
    if explain.is_exact(member):
        contributions = explain.tree_contributions(member, explained)
    else:
        train = explain.FeatureRows.from_rows(member, rows[rows["subset"] == "train"])
        background = explain.draw_background(member, train, _BACKGROUND)
        contributions = explain.sampled_contributions(member, explained, background)
    name = member.model_name
    title = f"{name} on {member.metadata['label']}"
    made = [draw_shap_summary(contributions, f"{title}: {len(chosen)} check-ups", folder / f"{name}-shap.png")]
    for cell, of_cell in special.items():
        shown = {role: int(np.searchsorted(chosen, at)) for role, at in of_cell.items()}
        if shown["last check-up"] == shown["worst estimate"]:
            shown = {"last check-up, its worst estimate": shown["last check-up"]}
        file = folder / f"{name}-waterfall-{_file_name(cell)}.png"
        made.append(draw_waterfall(contributions, shown, f"{title}: cell {cell}", file))
    return contributions, made


def _as_table(member: Pipeline, contributions: Contributions) -> pd.DataFrame:
    """Return a row for each check-up and feature: value, contribution in SOH points, and its standard error."""
    n, f = contributions.values.shape
    lines = contributions.rows.loc[:, ["cell_id", "checkup_index", "subset", "soh", "prediction"]]
    lines.insert(0, "model", member.model_name)
    return lines.loc[lines.index.repeat(f)].assign(
        base=contributions.base,
        feature=np.tile(np.array(contributions.names, dtype=object), n),
        value=contributions.features.ravel(),
        soh_points=contributions.values.ravel(),
        standard_error=contributions.errors.ravel(),
    )


def _explain_sequences(folder: Path, member: Pipeline, rows: pd.DataFrame, cells: Sequence[str]) -> list[Path]:
    """Draw the attention or the latent paths of a sequence model, and return the files."""
    title = f"{member.model_name} on {member.metadata['label']}"
    ordered = rows.sort_values(["cell_id", "checkup_index"])
    by_cell = {cell: ordered[ordered["cell_id"] == cell].reset_index(drop=True) for cell in cells}
    if member.model_name == "lstm":
        return [
            draw_attention(member, of_cell, f"{title}: cell {cell}", folder / f"lstm-attention-{_file_name(cell)}.png")
            for cell, of_cell in by_cell.items()
        ]
    together = pd.concat(by_cell.values(), ignore_index=True)
    return [draw_latent_paths(member, together, title, folder / f"{member.model_name}-latent.png")]


def _file_name(name: str) -> str:
    """Return a name without characters that file names cannot have."""
    return re.sub(r"[^\w.-]", "_", name)
