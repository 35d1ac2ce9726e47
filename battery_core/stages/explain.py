"""What the night's models look at: importance of features, and how LightGBM's estimates come about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from battery_core.evaluation.tables import finite_or_last
from battery_core.models.pipeline import PIPELINE_FILE, Pipeline
from battery_core.stages.candidate import PIPELINE_FOLDER


def explain(folder: Path, models: Sequence[Mapping[str, Any]], runs: Path, test: pd.DataFrame, label: str) -> None:
    """Draw importance.png, and shap.png and waterfall.png where LightGBM is among the models.

    The LSTM and the neural ODE, which read histories, have attention.png and latent.png instead. A mean of models is
    left out: its parts are there.

    Args:
        folder: where the figures go.
        models: entries of a report.
        runs: folder of all runs.
        test: labelled check-ups of the test cells.
        label: what the data are.
    """
    from battery_core.evaluation import explain as explaining
    from battery_core.evaluation import explain_figures, model_figures

    swapped: dict[str, dict[str, float]] = {}
    for model in models:
        place = runs / model["run_id"] / PIPELINE_FOLDER
        if not (place / PIPELINE_FILE).is_file():
            continue
        pipeline = Pipeline.load(place)
        if pipeline.histories:
            _of_histories(folder, model, pipeline, test, label)
            continue
        swapped[model["model"]] = explaining.permutation(pipeline, test)
        if model["model"] != "lgbm" or len(pipeline.model.boosters) != 1:
            continue
        title = f"lgbm on {label}"
        worst = model["test"]["worst_cell"]
        found = explaining.contributions(pipeline, test, worst)
        model_figures.importance(
            {"lgbm": explaining.gain(pipeline)}, title, "share of the gain, %", folder / "gain.png"
        )
        explain_figures.summary(found, title, folder / "shap.png")
        explain_figures.waterfall(found, worst, title, folder / "waterfall.png")
    if swapped:
        unit = "error grows by, SOH points"
        model_figures.importance(swapped, f"{label}: without knowing a feature", unit, folder / "importance.png")


def _of_histories(folder: Path, model: Mapping[str, Any], pipeline: Pipeline, test: pd.DataFrame, label: str) -> None:
    """What a model of histories made of the test cells, the worst first."""
    from battery_core.evaluation import history_figures

    title = f"{model['model']} on {label}"
    order = [c["cell_id"] for c in sorted(model["test"]["per_cell"], key=lambda c: -finite_or_last(c["mape"]))]
    test = test.sort_values(["cell_id", "checkup_index"])
    if model["model"] == "lstm":
        worst = test[test["cell_id"] == order[0]].reset_index(drop=True)
        history_figures.attention(pipeline, worst, f"{title}: cell {order[0]}", folder / "attention.png")
    if model["model"] == "neural_ode":
        chosen = pd.concat([test[test["cell_id"] == cell] for cell in (order[0], *order[-2:])])
        chosen = chosen.drop_duplicates(["cell_id", "checkup_index"]).reset_index(drop=True)
        history_figures.latent(pipeline, chosen, title, folder / "latent.png")
