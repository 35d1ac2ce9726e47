"""Score every cell with the champion: SOH with its interval, flags, remaining life; a table and a plot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from battery_core.artifacts import StageResult
from battery_core.data.tables.labels import soh
from battery_core.data.tables.schema import join_rows
from battery_core.errors import DataError
from battery_core.files import read_json, whole_folder, write_json
from battery_core.release.champion_scoring import PackagePredictions, predict_isolated
from battery_core.release.model_registry import ModelRegistry, Version
from battery_core.release.wire_format import CHAMPION, SEEN_CELLS
from battery_core.reporting.figures.scoring import draw_scores
from battery_core.settings import Settings
from battery_core.stages.common import STAGE_FILE, read_table
from battery_core.stages.registry import open_registry, registered_name, tracking_uri
from battery_core.stages.scoring.remaining_life import forecast_cells, with_usage
from battery_core.tracking.mlflow_tracker import is_store_reachable

if TYPE_CHECKING:
    from battery_core.evaluation.settings import ScoreSettings

SCORES_FILE, SUMMARY_FILE, FIGURE_FILE = "scores.parquet", "scores.json", "fade.png"
_METADATA_COLUMNS = (
    "cell_id",
    "group",
    "chemistry",
    "ambient_temperature_degC",
    "checkup_index",
    "cycle_count",
    "time_days",
)


@dataclass(frozen=True)
class ScoringResult:
    """Result of a scoring run.

    Args:
        folder: table ``scores.parquet``, summary ``scores.json`` and plot ``fade.png``.
        message: the result in one line.
        summary: content of ``scores.json``.
    """

    folder: Path
    message: str
    summary: dict[str, Any]


def score(settings: Settings, tables: StageResult, folder: Path, log: Callable[[str], None] = print) -> ScoringResult:
    """Predict the newest check-ups of every cell with the champion, and write table, summary and plot.

    The table has a row for each newest check-up, with the versions of data and model and the time in every row.

    Raises:
        DataError: there is no champion yet.
        ChampionScoringError: a required column is missing, or the package of the champion cannot be loaded.
        TrackingError: the registry does not answer.
    """
    uri = tracking_uri(settings)
    with is_store_reachable(uri):
        registry = ModelRegistry(open_registry(settings), registered_name(settings))
        champion = registry.version_by_alias(CHAMPION)
        if champion is None:
            raise DataError(
                f"score: models:/{registry.name}@{CHAMPION} does not exist - train first: python flows/train.py "
                f"--data.source {settings.data.source}"
            )
        package = registry.package(champion)
    cells, checkups = read_table(tables.path, "cells"), read_table(tables.path, "checkups")
    rows, unit = with_usage(join_rows(cells, checkups))
    rows["soh"] = soh(rows, cells, settings.data.soh_reference)
    predictions = predict_isolated(
        package, rows, f"score: version {champion.number}", settings.release.champion_timeout_s
    )
    rows = rows.join(_with_intervals(predictions.estimates, log))
    stage = read_json(tables.path / STAGE_FILE) or {}
    stamp = {
        "usage_unit": unit,
        "soh_reference": settings.data.soh_reference,
        "model_name": champion.name,
        "model_version": champion.number,
        "model": predictions.model_name,
        "data_version": stage.get("raw_version", ""),
        "tables_version": tables.version,
        "scored_at": pd.Timestamp(datetime.now(UTC)).floor("s"),
    }
    scores = _newest(rows, predictions, settings.score).assign(**stamp)
    summary = _summary(scores, champion, settings, tables)
    with whole_folder(folder) as tmp:
        scores.to_parquet(tmp / SCORES_FILE, index=False)
        write_json(tmp / SUMMARY_FILE, summary)
        draw_scores(rows, scores, summary, tmp / FIGURE_FILE)
    return ScoringResult(folder, summary["message"], summary)


def _with_intervals(predictions: pd.DataFrame, log: Callable[[str], None]) -> pd.DataFrame:
    """Return the predictions of each row; without intervals their columns stay empty, and a line is logged."""
    renamed = predictions.rename(columns={"soh": "prediction"})
    if "soh_lower" in renamed:
        return renamed[["prediction", "soh_lower", "soh_upper", "in_distribution", "outside"]]
    log("score: the model in service was trained without intervals: lower, upper and in_distribution stay empty")
    missing = pd.array([pd.NA] * len(renamed), dtype="boolean")
    return renamed[["prediction"]].assign(soh_lower=np.nan, soh_upper=np.nan, in_distribution=missing, outside="")


def _newest(rows: pd.DataFrame, predictions: PackagePredictions, settings: ScoreSettings) -> pd.DataFrame:
    """Return a row for each newest check-up of each cell."""
    newest = rows.groupby("cell_id").tail(settings.newest)
    table = newest[[*_METADATA_COLUMNS, "usage"]].assign(
        soh=newest["prediction"],
        soh_lower=newest["soh_lower"],
        soh_upper=newest["soh_upper"],
        in_distribution=newest["in_distribution"].astype("boolean"),
        outside=newest["outside"],
        soh_measured=newest["soh"],
        seen_in_training=newest["cell_id"].isin(set(predictions.metadata.get(SEEN_CELLS, ()))),
    )
    least = np.fmin(table["soh"] - settings.near, table["soh_lower"])  # fmin ignores a missing interval
    table["at_end_of_life"] = table["soh"] <= settings.end_of_life
    table["near_end_of_life"] = least <= settings.end_of_life
    left = forecast_cells(rows, settings)
    return table.merge(left, on=["cell_id", "checkup_index"], how="left").reset_index(drop=True)


def _summary(scores: pd.DataFrame, champion: Version, settings: Settings, tables: StageResult) -> dict[str, Any]:
    newest = scores.groupby("cell_id").tail(1)
    quality = read_json(tables.path / "quality.json") or {}
    unknown = newest["in_distribution"].isna().all()
    out = newest[~newest["in_distribution"].fillna(True).astype(bool)]
    at, near = newest[newest["at_end_of_life"]], newest[newest["near_end_of_life"] & ~newest["at_end_of_life"]]
    label = str(quality.get("label", settings.data.source))
    end = f"{settings.score.end_of_life:.0%}"
    domain_text = "not known whether they are like those of training" if unknown else f"{len(out)} out of distribution"
    message = (
        f"score: {len(newest)} cells of {label} by {champion.name} version {champion.number}: "
        f"{len(at)} at {end} SOH or below, {len(near)} near it, {domain_text}"
    )
    trained_on = champion.tags.get("data_version", "")
    return {
        "message": message,
        "label": label,
        "simulated": quality.get("simulated", False),
        "model": f"models:/{champion.name}/{champion.number}",
        "trained_on": trained_on,
        "data_version": scores["data_version"].iloc[0],
        "same_data_as_training": trained_on == scores["data_version"].iloc[0],
        "scored_at": str(scores["scored_at"].iloc[0]),
        "usage_unit": scores["usage_unit"].iloc[0],
        "end_of_life": settings.score.end_of_life,
        "at_end_of_life": list(at["cell_id"]),
        "near_end_of_life": list(near["cell_id"]),
        "out_of_distribution": dict(zip(out["cell_id"], out["outside"], strict=True)),
        "seen_in_training": int(newest["seen_in_training"].sum()),
        "cells": len(newest),
    }
