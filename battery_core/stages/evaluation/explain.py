"""Explain the models of a run: importance of features, and feature contributions to single estimates."""

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
_ESTIMATES, _KERNEL_ESTIMATES = 150_000, 40_000  # a summary takes seconds; kernel_ridge is many times slower
_TREE_ROWS = 600


def explain(folder: Path, report: Mapping[str, Any], runs: Path, train: pd.DataFrame, test: pd.DataFrame) -> None:
    """Draw the explanations of all models; the cost is low enough for every retraining run.

    All models of feature vectors share importance.png. LightGBM has gain.png, shap.png and waterfall.png. The
    challenger has the last two as candidate-*.png; for an ensemble they show its heaviest member with a feature vector.
    The LSTM has attention.png, the neural ODE latent.png.

    Args:
        folder: folder for the figures.
        report: report of the run, with all its models.
        runs: folder of all runs.
        train: labelled check-ups of the training cells.
        test: labelled check-ups of the test cells.
    """
    label = str(report["label"])
    loaded = {m["model"]: pipeline for m in report["models"] if (pipeline := load(runs / m["run_id"]))}
    of_vectors = {name: pipeline for name, pipeline in loaded.items() if not pipeline.feature_pipeline.takes_sequences}
    chosen = next(m for m in report["models"] if m["run_id"] == report["challenger"])
    cells = three_cells(chosen)
    explained, description = speaks_for(chosen, report["models"], of_vectors)
    importances: dict[str, dict[str, float]] = {}
    for name, pipeline in of_vectors.items():
        features = FeatureRows.from_rows(pipeline, test)
        importances[name] = permutation_importance(pipeline, features)
        if is_exact(pipeline):
            _explain_trees(folder, pipeline, features, cells, description if name == explained else name, label)
        elif name == explained:
            _explain_candidate(
                folder, pipeline, features, FeatureRows.from_rows(pipeline, train), cells, f"{description} on {label}"
            )
    if importances:
        unit = "error grows by, SOH points"
        draw_importance(importances, f"{label}: without knowing a feature", unit, folder / "importance.png")
    for model in report["models"]:
        if model["model"] in loaded.keys() - of_vectors.keys():
            _explain_sequences(folder, model, loaded[model["model"]], test, label)


def load(run: Path) -> Pipeline | None:
    """Return the single model of a run; None for an ensemble."""
    folder = run / PIPELINE_FOLDER
    return Pipeline.load(folder) if (folder / PIPELINE_FILE).is_file() else None


def three_cells(model: Mapping[str, Any]) -> dict[str, str]:
    """Return the test cells with the largest, the median and the smallest error of a model; each cell once."""
    order = [c["cell_id"] for c in sorted(model["test"]["per_cell"], key=lambda c: -as_worst(c["mape"]))]
    chosen = {"worst cell": order[0], "median cell": order[len(order) // 2], "best cell": order[-1]}
    return {role: cell for i, (role, cell) in enumerate(chosen.items()) if cell not in list(chosen.values())[:i]}


def speaks_for(
    chosen: Mapping[str, Any], models: Sequence[Mapping[str, Any]], of_vectors: Mapping[str, Any]
) -> tuple[str, str]:
    """Return the model of feature vectors to explain for the chosen one, and its description, or empty texts."""
    name, weights = chosen["model"], chosen.get("parts") or {}
    if name in of_vectors:
        return name, f"{name}, the chosen model,"
    if members := {member: weight for member, weight in weights.items() if member in of_vectors}:
        heaviest = max(members, key=lambda member: members[member])
        weight_text = f"{members[heaviest]:.0%} of the chosen {name}".replace("%", " %")
        return heaviest, f"{heaviest}, {weight_text} (its heaviest with a feature vector),"
    others = [m for m in models if m["model"] in of_vectors]
    if not others:
        return "", ""
    best = min(others, key=lambda m: as_worst(m["val_mean_cell_mape"]))["model"]
    return best, f"{best}, the best with a feature vector (the chosen {name} reads histories),"


def last_checkups(rows: pd.DataFrame, cells: Mapping[str, str]) -> dict[str, int]:
    """Return the position of the last check-up of each cell among the rows."""
    index, cell = rows["checkup_index"].to_numpy(), rows["cell_id"].to_numpy()
    return {role: int(max((cell == name).nonzero()[0], key=lambda i: index[i])) for role, name in cells.items()}


def _explain_trees(
    folder: Path, pipeline: Pipeline, features: FeatureRows, cells: Mapping[str, str], model_name: str, label: str
) -> None:
    """Draw gain importance and exact Shapley values of a tree model."""
    gains = {pipeline.model_name: importance.gain_importance(pipeline)}
    draw_importance(gains, f"{model_name} on {label}", "share of the gain, %", folder / "gain.png")
    many = explaining.tree_contributions(pipeline, features.sample(_TREE_ROWS, 0))
    shown = last_checkups(features.rows, cells)
    few = explaining.tree_contributions(pipeline, features.take(list(shown.values())))
    draw(folder, "", many, few, tuple(shown), f"{model_name} on {label}")


def _explain_candidate(
    folder: Path, pipeline: Pipeline, features: FeatureRows, train: FeatureRows, cells: Mapping[str, str], title: str
) -> None:
    """Draw sampled Shapley values: a small background for many check-ups, a large one for three."""
    budget = _KERNEL_ESTIMATES if pipeline.model_name == "kernel_ridge" else _ESTIMATES
    rows = min(_SUMMARY_ROWS, budget // (2 * _SUMMARY_BACKGROUND * len(pipeline.feature_names)))
    small_background = explaining.draw_background(pipeline, train, _SUMMARY_BACKGROUND)
    many = explaining.sampled_contributions(pipeline, features.sample(max(rows, len(cells)), 0), small_background)
    shown = last_checkups(features.rows, cells)
    large_background = explaining.draw_background(pipeline, train, _SINGLE_BACKGROUND)
    few = explaining.sampled_contributions(pipeline, features.take(list(shown.values())), large_background)
    draw(folder, "candidate-", many, few, tuple(shown), title)


def draw(
    folder: Path, prefix: str, many: Contributions, few: Contributions, shown: Sequence[str], title: str
) -> list[Path]:
    """Draw a Shapley summary of many estimates, and a waterfall of each of the few, named by ``shown``."""
    named = {name: position for position, name in enumerate(shown)}
    return [
        draw_shap_summary(many, title, folder / f"{prefix}shap.png"),
        draw_waterfall(few, named, title, folder / f"{prefix}waterfall.png"),
    ]


def _explain_sequences(
    folder: Path, model: Mapping[str, Any], pipeline: Pipeline, test: pd.DataFrame, label: str
) -> None:
    """Draw the attention or the latent paths of a sequence model on test cells, the worst cell first."""
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
