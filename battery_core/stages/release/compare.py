"""Compare the challenger with the champion on test cells that neither was trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from battery_core.artifacts import Comparison, EvaluationReport, StageResult
from battery_core.data.splits.cell_split import CellSplit
from battery_core.predictors.weighted_ensemble import load_predictor
from battery_core.release.champion_scoring import ChampionScoringError, PackagePredictions, predict_isolated
from battery_core.release.comparison import build_comparison
from battery_core.release.model_registry import ModelRegistry
from battery_core.release.promotion import Decision, decide
from battery_core.release.provenance import code_state
from battery_core.release.wire_format import CHAMPION, ROLLED_BACK_TAG
from battery_core.settings import Settings
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.registry import open_registry, registered_name
from battery_core.stages.training.candidate import PIPELINE_FOLDER
from battery_core.tracking.mlflow_tracker import is_store_reachable

COMPARISON_FILE = "comparison.json"


@dataclass(frozen=True)
class Champion:
    """The champion and its predictions, which a separate process computes.

    Args:
        name: name in messages, such as "version 3"; empty without a champion.
        predictions: waits for the predictions of the test rows, or raises ``ChampionScoringError``.
    """

    name: str
    predictions: Callable[[], PackagePredictions | None]


NONE_SERVES = Champion("", lambda: None)


def challenger_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of the challenger in a report."""
    return next(dict(model) for model in report["models"] if model["run_id"] == report["challenger"])


def compare(settings: Settings, tables: StageResult, split: StageResult, selection: StageResult) -> StageResult:
    """Score challenger and champion on the same test rows, decide, and write comparison.json beside report.json.

    Raises:
        DataError: report.json does not exist.
        TrackingError: the registry does not answer.
    """
    uri, report = open_registry(settings), EvaluationReport.read(selection.path)
    rows = labelled_rows(tables.path, CellSplit.from_json(split.path.read_text()), settings.data.soh_reference)
    with is_store_reachable(uri):
        registry = ModelRegistry(uri, registered_name(settings))
        with asking(settings, registry, rows) as champion:
            decision, inputs = compare_with_champion(
                settings, report.to_json(), rows, registry, champion, code_state().is_dirty
            )
    made = Comparison(promote=decision.promote, reason=decision.reason, run_id=report.challenger, **inputs)
    file = selection.path.parent / COMPARISON_FILE
    made.write(file)
    verdict = "better" if decision.promote else "not better"
    return StageResult(file, selection.version, False, f"compare: {verdict}: {decision.reason}")


@contextmanager
def asking(settings: Settings, registry: ModelRegistry, rows: pd.DataFrame) -> Iterator[Champion]:
    """Predict the test rows with the champion while the block runs; to load its packaged code takes seconds."""
    version = registry.version_by_alias(CHAMPION)
    if version is None:
        yield NONE_SERVES
        return
    test, name = rows[rows["subset"] == "test"], f"version {version.number}"
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(
            lambda: predict_isolated(registry.package(version), test, name, settings.release.champion_timeout_s)
        )
        yield Champion(name, future.result)


def compare_with_champion(
    settings: Settings,
    report: Mapping[str, Any],
    rows: pd.DataFrame,
    registry: ModelRegistry,
    champion: Champion,
    dirty: bool,
) -> tuple[Decision, dict[str, Any]]:
    """Score challenger, champion and baselines on test cells outside the training of both models, then decide.

    Args:
        settings: settings of the run.
        report: content of report.json.
        rows: labelled rows with their subset.
        registry: model registry, which has the versions that were rolled back.
        champion: champion and its predictions.
        dirty: whether the code differs from its commit.
    """
    challenger_model = load_predictor(settings.folder("artifacts") / "runs" / report["challenger"] / PIPELINE_FOLDER)
    try:
        predictions, problem = champion.predictions(), ""
    except ChampionScoringError as err:
        predictions = None
        problem = f"{err}; nothing is promoted over a champion that cannot be compared: repair it, or remove"
    comparison = build_comparison(
        challenger_model, predictions, champion.name, rows, settings.data.soh_reference, dirty
    )
    if problem:
        comparison = replace(comparison, champion={}, blocking_reason=f"{problem} the alias '{CHAMPION}' in MLflow")
    if rejected := registry.rolled_back_version(challenger_of(report)["key"]):
        reason = f"the same model as version {rejected.number}, rolled back {rejected.tags[ROLLED_BACK_TAG]}"
        reason = f"{reason}; remove its tag '{ROLLED_BACK_TAG}' in MLflow to allow it"
        comparison = replace(comparison, blocking_reason=reason)
    return decide(comparison, settings.release), asdict(comparison)
