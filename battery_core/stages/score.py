"""The model in service on every cell as it is now: SOH with its interval, flags, use left; a table and a plot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from battery_core.data.labels import soh
from battery_core.data.schema import join_rows
from battery_core.errors import DataError
from battery_core.evaluation.forecast import Past, forecast
from battery_core.files import read_json, whole_folder, write_json
from battery_core.models.estimator import Estimator
from battery_core.release.model_registry import CHAMPION, ModelRegistry, Version
from battery_core.settings import Settings
from battery_core.stages import Staged
from battery_core.stages.artefacts import STAGE_FILE, read_table
from battery_core.stages.release import open_registry, registered_name, tracking_uri
from battery_core.tracking.mlflow_tracker import store_answers

if TYPE_CHECKING:
    from battery_core.evaluation.settings import ScoreSettings

SCORES_FILE, SUMMARY_FILE, FIGURE_FILE = "scores.parquet", "scores.json", "fade.png"
EFC, CYCLES = "equivalent full cycles", "cycles"
_KNOWN = ("cell_id", "group", "chemistry", "ambient_temperature_degC", "checkup_index", "cycle_count", "time_days")
_SHOWN = 12


@dataclass(frozen=True)
class Scored:
    """What scoring left.

    Args:
        folder: table ``scores.parquet``, summary ``scores.json`` and plot ``fade.png``.
        message: one line for people.
        summary: what ``scores.json`` holds.
    """

    folder: Path
    message: str
    summary: dict[str, Any]


def score(settings: Settings, tables: Staged, folder: Path, say: Callable[[str], None] = print) -> Scored:
    """Ask the champion for the newest check-ups of every cell and write down what it says.

    The table has a row for each newest check-up, with the versions of data and model and the time in every row.

    Raises:
        DataError: no model serves yet, or a measured column it needs is missing.
        TrackingError: the registry does not answer.
    """
    uri = tracking_uri(settings)
    with store_answers(uri):
        registry = ModelRegistry(open_registry(settings), registered_name(settings))
        champion = registry.holder(CHAMPION)
        if champion is None:
            raise DataError(
                f"score: models:/{registry.name}@{CHAMPION} does not exist - train first: python flows/train.py "
                f"--data.source {settings.data.source}"
            )
        pipeline: Estimator = registry.pipeline(champion)
    cells, checkups = read_table(tables.path, "cells"), read_table(tables.path, "checkups")
    rows, unit = with_use(join_rows(cells, checkups))
    rows["soh"] = soh(rows, cells, settings.data.soh_reference)
    rows = rows.join(_asked(pipeline, rows, say))
    stage = read_json(tables.path / STAGE_FILE) or {}
    stamp = {
        "use_unit": unit,
        "soh_reference": settings.data.soh_reference,
        "model_name": champion.name,
        "model_version": champion.number,
        "model": pipeline.model_name,
        "data_version": stage.get("raw_version", ""),
        "tables_version": tables.version,
        "scored_at": pd.Timestamp(datetime.now(UTC)).floor("s"),
    }
    scores = _newest(rows, pipeline, settings.score).assign(**stamp)
    summary = _summary(scores, champion, settings, tables)
    with whole_folder(folder) as part:
        scores.to_parquet(part / SCORES_FILE, index=False)
        write_json(part / SUMMARY_FILE, summary)
        draw(rows, scores, summary, settings.score.end_of_life, part / FIGURE_FILE)
    return Scored(folder, summary["message"], summary)


def with_use(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Rows with the column ``use`` and its unit: equivalent full cycles where throughput is measured, else cycles."""
    if rows["throughput_Ah"].notna().all():
        return rows.assign(use=rows["throughput_Ah"].abs() / (2 * rows["nominal_capacity_Ah"])), EFC
    counted = rows["cycle_count"] if rows["cycle_count"].notna().all() else rows["checkup_index"]
    return rows.assign(use=counted.astype(float)), CYCLES


def histories(rows: pd.DataFrame) -> list[Past]:
    """What was measured of each cell, in the order of its use; rows with columns use and soh."""
    found = []
    for cell_id, part in rows.groupby("cell_id", sort=True):
        group, temperature = part["group"].iloc[0], part["ambient_temperature_degC"].iloc[0]
        conditions = (f"{group} at {temperature:g} degC", str(group)) if temperature == temperature else (str(group),)
        found.append(Past(str(cell_id), conditions, part["use"].to_numpy(float), part["soh"].to_numpy(float)))
    return found


def half_width_of(pipeline: Estimator, soh_now: float) -> float:
    """Half the width of the model's interval at an SOH; 0 for a model without intervals."""
    if pipeline.conformal is None:
        return 0.0
    lower, upper = pipeline.conformal.bounds(np.array([soh_now]))
    return float(upper[0] - lower[0]) / 2


def _asked(pipeline: Estimator, rows: pd.DataFrame, say: Callable[[str], None]) -> pd.DataFrame:
    """What the model says of each row; a model without intervals says so, and the columns stay empty."""
    if pipeline.conformal is not None and pipeline.training_range is not None:
        columns = ["soh", "soh_lower", "soh_upper", "in_distribution", "outside"]
        return pipeline.estimate(rows, details=True)[columns].rename(columns={"soh": "prediction"})
    say("score: the model in service was trained without intervals: lower, upper and in_distribution stay empty")
    empty = pd.DataFrame({"prediction": pipeline.predict(rows)}, index=rows.index)
    missing = pd.array([pd.NA] * len(rows), dtype="boolean")
    return empty.assign(soh_lower=np.nan, soh_upper=np.nan, in_distribution=missing, outside="")


def _newest(rows: pd.DataFrame, pipeline: Estimator, given: ScoreSettings) -> pd.DataFrame:
    """A line for each newest check-up of each cell."""
    newest = rows.groupby("cell_id").tail(given.newest)
    table = newest[[*_KNOWN, "use"]].assign(
        soh=newest["prediction"],
        soh_lower=newest["soh_lower"],
        soh_upper=newest["soh_upper"],
        in_distribution=newest["in_distribution"].astype("boolean"),
        outside=newest["outside"],
        soh_measured=newest["soh"],
        seen_in_training=newest["cell_id"].isin(set(pipeline.facts.get("seen_cells", ()))),
    )
    least = np.fmin(table["soh"] - given.near, table["soh_lower"])  # fmin: a missing interval plays no part
    table["at_end_of_life"] = table["soh"] <= given.end_of_life
    table["near_end_of_life"] = least <= given.end_of_life
    left = _forecasts(rows, pipeline, given)
    return table.merge(left, on=["cell_id", "checkup_index"], how="left").reset_index(drop=True)


def _forecasts(rows: pd.DataFrame, pipeline: Estimator, given: ScoreSettings) -> pd.DataFrame:
    """Use and check-ups left at the newest check-up of each cell; other cells' measured lives correct it."""
    past = histories(rows)
    found = []
    for cell, (_, part) in zip(past, rows.groupby("cell_id", sort=True), strict=True):
        others = [other for other in past if other.cell_id != cell.cell_id]
        left = forecast(
            cell.use, part["prediction"], given.end_of_life, others, cell.conditions,
            half_width_of(pipeline, float(part["prediction"].iloc[-1])), given.forecast_coverage,
        )  # fmt: skip
        step = float(np.median(np.diff(cell.use[-11:]))) if len(cell.use) > 1 else np.nan
        line = {"cell_id": cell.cell_id, "checkup_index": part["checkup_index"].iloc[-1]}
        for name, value in (("", left.left), ("_low", left.low), ("_high", left.high)):
            line |= {f"use_left{name}": value, f"checkups_left{name}": value / step if step > 0 else np.nan}
        found.append(line | {"forecast_basis": left.basis, "forecast_cells": left.n_like_it})
    return pd.DataFrame(found)


def _summary(scores: pd.DataFrame, champion: Version, settings: Settings, tables: Staged) -> dict[str, Any]:
    newest = scores.groupby("cell_id").tail(1)
    quality = read_json(tables.path / "quality.json") or {}
    unknown = newest["in_distribution"].isna().all()
    out = newest[~newest["in_distribution"].fillna(True).astype(bool)]
    at, near = newest[newest["at_end_of_life"]], newest[newest["near_end_of_life"] & ~newest["at_end_of_life"]]
    label = str(quality.get("label", settings.data.source))
    end = f"{settings.score.end_of_life:.0%}"
    known = "not known whether they are like those of training" if unknown else f"{len(out)} out of distribution"
    message = (
        f"score: {len(newest)} cells of {label} by {champion.name} version {champion.number}: "
        f"{len(at)} at {end} SOH or below, {len(near)} near it, {known}"
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
        "use_unit": scores["use_unit"].iloc[0],
        "end_of_life": settings.score.end_of_life,
        "at_end_of_life": list(at["cell_id"]),
        "near_end_of_life": list(near["cell_id"]),
        "out_of_distribution": dict(zip(out["cell_id"], out["outside"], strict=True)),
        "seen_in_training": int(newest["seen_in_training"].sum()),
        "cells": len(newest),
    }


def shown_cells(scores: pd.DataFrame, most: int = _SHOWN) -> list[str]:
    """The cells a person should look at first: not yet at the end and soonest there, then the others by SOH."""
    newest = scores.groupby("cell_id").tail(1)
    order = newest.sort_values(["at_end_of_life", "use_left", "soh", "cell_id"], na_position="last", kind="stable")
    return list(order["cell_id"].head(most))


def draw(
    rows: pd.DataFrame, scores: pd.DataFrame, summary: dict[str, Any], end_of_life: float, file: Path
) -> Sequence[str]:
    """The fade plot of the cells to look at first; returns them."""
    from battery_core.evaluation.score_figure import fade_ahead

    cells = shown_cells(scores)
    fade_ahead(rows, scores, cells, end_of_life, f"{summary['label']}: {summary['model']}", file, summary["simulated"])
    return cells


def rows_for_people(scores: pd.DataFrame, most: int = 50) -> list[dict[str, str]]:
    """The table for a page or a terminal, the most urgent cells first."""
    newest = scores.groupby("cell_id").tail(1).set_index("cell_id")
    unit = "EFC" if scores["use_unit"].iloc[0] == EFC else "cycles"
    lines = []
    for cell_id in shown_cells(scores, most):
        cell: Any = newest.loc[cell_id]
        lines.append(
            {
                "cell": cell_id,
                "check-up": str(cell["checkup_index"]),
                "SOH": _range(cell["soh"], cell["soh_lower"], cell["soh_upper"], 3),
                "measured": f"{cell['soh_measured']:.3f}",
                f"{unit} left": _range(cell["use_left"], cell["use_left_low"], cell["use_left_high"], 0),
                "check-ups left": _range(
                    cell["checkups_left"], cell["checkups_left_low"], cell["checkups_left_high"], 0
                ),
                "note": _note(cell),
            }
        )
    return lines


def in_words(summary: dict[str, Any]) -> list[str]:
    """The flags and what they rest on, line by line."""
    end = f"{summary['end_of_life']:.0%} SOH"
    same = "the data it was trained on" if summary["same_data_as_training"] else "newer data than it was trained on"
    seen = f"{summary['seen_in_training']} of {summary['cells']} cells were seen in its training"
    lines = [f"- asked: {summary['model']}, data version {summary['data_version'][:12]}, {same}; {seen}"]
    for title, cells in (("at", summary["at_end_of_life"]), ("near", summary["near_end_of_life"])):
        lines += [f"- {len(cells)} {title} {end}: {_some(cells)}"] if cells else []
    strange = [f"{cell} ({column})" for cell, column in summary["out_of_distribution"].items()]
    return lines + ([f"- {len(strange)} out of distribution: {_some(strange)}"] if strange else [])


def _some(names: Sequence[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _range(value: float, low: float, high: float, digits: int) -> str:
    if value != value:
        return "not known"
    if low != low or high != high:
        return f"{value:.{digits}f}"
    above = f"{high:.{digits}f}" if np.isfinite(high) else "?"
    return f"{value:.{digits}f} ({low:.{digits}f} to {above})"


def _note(cell: Any) -> str:
    said = ["end of life"] if cell["at_end_of_life"] else ["near end of life"] if cell["near_end_of_life"] else []
    said += [f"out of distribution: {cell['outside']}"] if cell["outside"] else []
    said += ["seen in training"] if cell["seen_in_training"] else []
    return ", ".join(said)
