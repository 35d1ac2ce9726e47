"""One more candidate of the night: the mean of the models that were trained, mixed on validation cells."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from battery_core.data.versioning import code_version
from battery_core.files import read_json, write_json
from battery_core.jobs import RESULT_FILE
from battery_core.models.blend import NAME, Blend
from battery_core.models.mixing import greedy_picks, mixed_by_others
from battery_core.models.pipeline import Pipeline
from battery_core.settings import Settings
from battery_core.stages.artefacts import stage_key
from battery_core.stages.candidate import (
    PIPELINE_FOLDER,
    PREDICTIONS_FILE,
    calibrated,
    not_by_definition,
    write_candidate,
)
from battery_core.stages.train import written_down


def blend(settings: Settings, rows: pd.DataFrame, results: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Mix the night's models; a mix that stands already is not made again.

    Args:
        settings: of the run.
        rows: labelled rows with the part of the split they are in.
        results: of the training jobs.

    Returns:
        A result like that of a training job, or None where one model alone errs least on the validation cells.
    """
    runs, reference = settings.folder("artifacts") / "runs", settings.data.soh_reference
    said = {result["run_id"]: pd.read_parquet(runs / result["run_id"] / PREDICTIONS_FILE) for result in results}
    judged = {run: not_by_definition(p[p["part"] == "val"], reference) for run, p in said.items()}
    first = next(iter(judged.values()))
    cells, estimates = first["cell_id"].tolist(), {run: p["prediction"] for run, p in judged.items()}
    picks = greedy_picks(first["soh"], cells, estimates, settings.blend.picks)
    if len(picks) < 2:
        return None
    keys = {result["run_id"]: result["key"] for result in results}
    key = stage_key(
        {keys[run]: count for run, count in picks.items()},
        sorted(keys.values()),  # those not picked could have been, and so are in the intervals
        settings.uncertainty.model_dump(mode="json"),
        code_version("models", "features", "stages.blend"),
    )
    folder = runs / f"{settings.data.source}-{NAME}-{key[:10]}"
    standing: dict[str, Any] | None = read_json(folder / RESULT_FILE)
    if standing is not None and standing["key"] == key:
        return {**standing, "reused": True}
    unseen = first.assign(prediction=mixed_by_others(first["soh"], cells, estimates, settings.blend.picks))
    result = _make(settings, rows, picks, unseen, folder)
    names = {result["run_id"]: result["model"] for result in results}
    result |= {"parts": {names[run]: count for run, count in picks.items()}, "key": key, "run_id": folder.name}
    write_json(folder / RESULT_FILE, result)
    return result | {"reused": False}


def _make(
    settings: Settings, rows: pd.DataFrame, picks: Mapping[str, int], unseen: pd.DataFrame, folder: Path
) -> dict[str, Any]:
    """Calibrate the mix, write it down and say what it does on validation and test cells.

    ``unseen`` has what mixes say of cells that did not choose them: what the intervals are calibrated on.
    """
    started, reference = time.perf_counter(), settings.data.soh_reference
    parts = tuple(Pipeline.load(folder.parent / run / PIPELINE_FOLDER) for run in picks)
    facts = {**parts[0].facts, "run_id": folder.name, "parts": dict(picks)}
    mix = calibrated(Blend(parts, tuple(picks.values()), facts), rows, reference, settings.uncertainty, unseen)
    with written_down(folder.parent, folder.name, {"model": NAME, "parts": dict(picks)}):
        told = write_candidate(mix, rows, folder, reference, {})
    return told | {
        "features": sorted({name for part in parts for name in part.feature_names}),
        "seconds": round(time.perf_counter() - started, 3),
    }
