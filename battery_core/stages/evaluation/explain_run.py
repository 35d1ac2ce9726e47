"""One finished model explained in full, on demand: figures, and a table of every feature's part in every estimate."""

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
    """Explain the chosen model of a report, the model of a training run, or a registered version; each part of a mean.

    Args:
        settings: which folders, which registry.
        which: see ``model_of``.
        cells: whose estimates; without any the worst, median and best of the cells the model never saw.
        rows: check-ups explained, evenly over those cells; a cell's last and its worst estimated come on top.
        to: folder for the figures and the table; default artifacts/explanations/<which>.
        log: told what is being done.

    Raises:
        DataError: no such run, version or cell, or the data are not there.
    """
    if rows < 1:
        raise SettingsError(f"explain: --rows must be at least 1, got {rows}")
    model = model_of(settings, which)
    known = rows_of(settings, model)
    for note in notes_on(settings, model):
        log(note)
    asked = known_cells(known, cells) or _three(known, model)
    folder = to or settings.folder("artifacts") / "explanations" / _file_name(which)
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    values = []
    for _, member in model.weighted_pipelines:
        log(f"explain: {member.model_name}: {len(asked)} cells")
        if member.feature_pipeline.takes_sequences:
            made += _explain_sequences(folder, member, known, asked)
            continue
        contributions, figures = _of_vectors(folder, member, known, asked, rows)
        made += figures
        values.append(_as_table(member, contributions))
    if values:
        pd.concat(values).to_parquet(folder / VALUES_FILE, index=False)
        made.append(folder / VALUES_FILE)
    return [f"explain: {which}: {model.model_name} of {model.metadata['label']}", *(f"  {file}" for file in made)]


def _three(rows: pd.DataFrame, model: Pipeline | WeightedEnsemble) -> list[str]:
    """The cells it never saw that it estimates worst, in the middle and best; of those it saw where there are none."""
    judged = rows[rows["subset"] == "unseen"] if (rows["subset"] == "unseen").any() else rows
    order = per_cell_errors(judged["cell_id"], judged["soh"], model.predict(judged)).worst_first()
    return list(dict.fromkeys([order[0], order[len(order) // 2], order[-1]]))


def _of_vectors(
    folder: Path, member: Pipeline, rows: pd.DataFrame, cells: Sequence[str], most: int
) -> tuple[Contributions, list[Path]]:

    told = explain.FeatureRows.from_rows(member, rows[rows["cell_id"].isin(cells)].reset_index(drop=True))
    error = np.abs(explain.estimate_soh(member, told.x) - told.rows["soh"].to_numpy())
    own = {cell: np.flatnonzero((told.rows["cell_id"] == cell).to_numpy()) for cell in cells}
    number = told.rows["checkup_index"].to_numpy()
    special = {
        cell: {"last check-up": at[number[at].argmax()], "worst estimate": at[error[at].argmax()]}
        for cell, at in own.items()
    }
    always = [at for of_cell in special.values() for at in of_cell.values()]
    even = np.linspace(0, len(told.x) - 1, min(most, len(told.x))).round().astype(int)
    chosen = np.union1d(even, always)
    some = told.take(chosen)
    if explain.is_exact(member):
        contributions = explain.tree_contributions(member, some)
    else:
        train = explain.FeatureRows.from_rows(member, rows[rows["subset"] == "train"])
        contributions = explain.sampled_contributions(member, some, explain.draw_background(member, train, _BACKGROUND))
    name = member.model_name
    title = f"{name} on {member.metadata['label']}"
    made = [draw_shap_summary(contributions, f"{title}: {len(chosen)} check-ups", folder / f"{name}-shap.png")]
    for cell, of_cell in special.items():
        shown = {what: int(np.searchsorted(chosen, at)) for what, at in of_cell.items()}
        if shown["last check-up"] == shown["worst estimate"]:
            shown = {"last check-up, its worst estimate": shown["last check-up"]}
        file = folder / f"{name}-waterfall-{_file_name(cell)}.png"
        made.append(draw_waterfall(contributions, shown, f"{title}: cell {cell}", file))
    return contributions, made


def _as_table(member: Pipeline, contributions: Contributions) -> pd.DataFrame:
    """A line for each check-up and feature: its measured value, what it adds in SOH points, and how sure that is."""
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

    title = f"{member.model_name} on {member.metadata['label']}"
    ordered = rows.sort_values(["cell_id", "checkup_index"])
    own = {cell: ordered[ordered["cell_id"] == cell].reset_index(drop=True) for cell in cells}
    if member.model_name == "lstm":
        return [
            draw_attention(member, of_cell, f"{title}: cell {cell}", folder / f"lstm-attention-{_file_name(cell)}.png")
            for cell, of_cell in own.items()
        ]
    together = pd.concat(own.values(), ignore_index=True)
    return [draw_latent_paths(member, together, title, folder / f"{member.model_name}-latent.png")]


def _file_name(name: str) -> str:
    """A name as part of a file's name."""
    return re.sub(r"[^\w.-]", "_", name)
