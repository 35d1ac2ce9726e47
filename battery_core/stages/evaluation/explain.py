"""What the night's models look at: importance of features, and how single estimates came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from battery_core.cell_errors import as_worst
from battery_core.evaluation.explain import contributions as explaining
from battery_core.evaluation.explain import importance
from battery_core.evaluation.explain.contributions import Contributions, FeatureRows, is_exact
from battery_core.evaluation.explain.importance import permutation_importance
from battery_core.predictors.pipeline import PIPELINE_FILE, Pipeline
from battery_core.reporting.figures.explain import draw_shap_summary, draw_waterfall
from battery_core.reporting.figures.models import draw_importance
from battery_core.reporting.figures.sequences import draw_attention, draw_latent_paths
from battery_core.stages.training.candidate import PIPELINE_FOLDER

_SUMMARY_ROWS, _SUMMARY_BACKGROUND, _SINGLE_BACKGROUND = 100, 12, 64
_ESTIMATES, _KERNEL_ESTIMATES = 150_000, 40_000  # for a summary: seconds; the kernel model is many times slower
_TREE_ROWS = 600


def explain(folder: Path, report: Mapping[str, Any], runs: Path, train: pd.DataFrame, test: pd.DataFrame) -> None:
    """Draw what the models look at; cheap enough for every night.

    importance.png of all models of feature vectors; gain.png, shap.png and waterfall.png of LightGBM; the last two as
    candidate-*.png of the chosen model, or of its heaviest part with a feature vector where it is a mean of models; the
    LSTM and the neural ODE, which read histories, have attention.png and latent.png.

    Args:
        folder: where the figures go.
        report: of the night, with all its models.
        runs: folder of all runs.
        train: labelled check-ups of the training cells.
        test: labelled check-ups of the test cells.
    """
    label = str(report["label"])
    loaded = {m["model"]: pipeline for m in report["models"] if (pipeline := load(runs / m["run_id"]))}
    of_vectors = {name: pipeline for name, pipeline in loaded.items() if not pipeline.feature_pipeline.takes_sequences}
    chosen = next(m for m in report["models"] if m["run_id"] == report["challenger"])
    cells = three_cells(chosen)
    explained, why = speaks_for(chosen, report["models"], of_vectors)
    swapped: dict[str, dict[str, float]] = {}
    for name, pipeline in of_vectors.items():
        features = FeatureRows.from_rows(pipeline, test)
        swapped[name] = permutation_importance(pipeline, features)
        if is_exact(pipeline):
            _explain_trees(folder, pipeline, features, cells, why if name == explained else name, label)
        elif name == explained:
            _explain_candidate(
                folder, pipeline, features, FeatureRows.from_rows(pipeline, train), cells, f"{why} on {label}"
            )
    if swapped:
        unit = "error grows by, SOH points"
        draw_importance(swapped, f"{label}: without knowing a feature", unit, folder / "importance.png")
    for model in report["models"]:
        if model["model"] in loaded.keys() - of_vectors.keys():
            _explain_sequences(folder, model, loaded[model["model"]], test, label)


def load(run: Path) -> Pipeline | None:
    """The single model of a run; None for a mean of models."""
    place = run / PIPELINE_FOLDER
    return Pipeline.load(place) if (place / PIPELINE_FILE).is_file() else None


def three_cells(model: Mapping[str, Any]) -> dict[str, str]:
    """The test cells that a model estimates worst, in the middle and best; fewer where there are fewer."""
    order = [c["cell_id"] for c in sorted(model["test"]["per_cell"], key=lambda c: -as_worst(c["mape"]))]
    found = {"worst cell": order[0], "median cell": order[len(order) // 2], "best cell": order[-1]}
    return {what: cell for i, (what, cell) in enumerate(found.items()) if cell not in list(found.values())[:i]}


def speaks_for(
    chosen: Mapping[str, Any], models: Sequence[Mapping[str, Any]], of_vectors: Mapping[str, Any]
) -> tuple[str, str]:
    """Which model of feature vectors is explained for the chosen one, and why, in words; empty where there is none."""
    name, parts = chosen["model"], chosen.get("parts") or {}
    if name in of_vectors:
        return name, f"{name}, the chosen model,"
    if known := {part: count for part, count in parts.items() if part in of_vectors}:
        part = max(known, key=lambda part: known[part])
        share = f"{known[part]:.0%} of the chosen {name}".replace("%", " %")
        return part, f"{part}, {share} (its heaviest with a feature vector),"
    others = [m for m in models if m["model"] in of_vectors]
    if not others:
        return "", ""
    best = min(others, key=lambda m: as_worst(m["val_mean_cell_mape"]))["model"]
    return best, f"{best}, the best with a feature vector (the chosen {name} reads histories),"


def last_checkups(rows: pd.DataFrame, cells: Mapping[str, str]) -> dict[str, int]:
    """Position of the last check-up of each cell among the rows."""
    index, cell = rows["checkup_index"].to_numpy(), rows["cell_id"].to_numpy()
    return {what: int(max((cell == name).nonzero()[0], key=lambda i: index[i])) for what, name in cells.items()}


def _explain_trees(
    folder: Path, pipeline: Pipeline, features: FeatureRows, cells: Mapping[str, str], model_name: str, label: str
) -> None:

    gains = {pipeline.model_name: importance.gain_importance(pipeline)}
    draw_importance(gains, f"{model_name} on {label}", "share of the gain, %", folder / "gain.png")
    many = explaining.tree_contributions(pipeline, features.sample(_TREE_ROWS, 0))
    shown = last_checkups(features.rows, cells)
    few = explaining.tree_contributions(pipeline, features.take(list(shown.values())))
    draw(folder, "", many, few, tuple(shown), f"{model_name} on {label}")


def _explain_candidate(
    folder: Path, pipeline: Pipeline, features: FeatureRows, train: FeatureRows, cells: Mapping[str, str], title: str
) -> None:
    """Sampled Shapley values: many check-ups roughly, three well."""
    budget = _KERNEL_ESTIMATES if pipeline.model_name == "kernel_ridge" else _ESTIMATES
    rows = min(_SUMMARY_ROWS, budget // (2 * _SUMMARY_BACKGROUND * len(pipeline.feature_names)))
    rough = explaining.draw_background(pipeline, train, _SUMMARY_BACKGROUND)
    many = explaining.sampled_contributions(pipeline, features.sample(max(rows, len(cells)), 0), rough)
    shown = last_checkups(features.rows, cells)
    well = explaining.draw_background(pipeline, train, _SINGLE_BACKGROUND)
    few = explaining.sampled_contributions(pipeline, features.take(list(shown.values())), well)
    draw(folder, "candidate-", many, few, tuple(shown), title)


def draw(
    folder: Path, prefix: str, many: Contributions, few: Contributions, shown: Sequence[str], title: str
) -> list[Path]:
    """Which way features move the many estimates, and how each of the few, named by ``shown``, came about."""
    named = {what: position for position, what in enumerate(shown)}
    return [
        draw_shap_summary(many, title, folder / f"{prefix}shap.png"),
        draw_waterfall(few, named, title, folder / f"{prefix}waterfall.png"),
    ]


def _explain_sequences(
    folder: Path, model: Mapping[str, Any], pipeline: Pipeline, test: pd.DataFrame, label: str
) -> None:
    """What a model of histories made of the test cells, the worst first."""
    title = f"{model['model']} on {label}"
    order = [c["cell_id"] for c in sorted(model["test"]["per_cell"], key=lambda c: -as_worst(c["mape"]))]
    test = test.sort_values(["cell_id", "checkup_index"])
    if model["model"] == "lstm":
        worst = test[test["cell_id"] == order[0]].reset_index(drop=True)
        draw_attention(pipeline, worst, f"{title}: cell {order[0]}", folder / "attention.png")
    if model["model"] == "neural_ode":
        chosen = pd.concat([test[test["cell_id"] == cell] for cell in (order[0], *order[-2:])])
        chosen = chosen.drop_duplicates(["cell_id", "checkup_index"]).reset_index(drop=True)
        draw_latent_paths(pipeline, chosen, title, folder / "latent.png")
