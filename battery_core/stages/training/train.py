"""Run one training job: write the pipeline, its history and its predictions for validation and test cells."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pandas as pd

from battery_core.artifacts import TrainingResult
from battery_core.data.registries import SOURCES
from battery_core.data.samples.from_rows import make_samples
from battery_core.data.samples.sample import Samples
from battery_core.data.splits.cell_split import CellSplit
from battery_core.errors import TrainingError
from battery_core.features.sequences import sequence_samples
from battery_core.features.settings import FeatureSettings
from battery_core.files import read_json
from battery_core.jobs import JobSpec
from battery_core.models.registry import model_spec
from battery_core.predictors.feature_pipeline import FeaturePipeline
from battery_core.predictors.pipeline import Pipeline
from battery_core.seeding import derive_seed
from battery_core.stages.common import STAGE_FILE
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.training.candidate import calibrated, run_record, write_candidate
from battery_core.tracking.local_tracker import LocalTracker
from battery_core.training.fitting import FitResult, fit_model
from battery_core.uncertainty.settings import UncertaintySettings


def train(spec: JobSpec) -> dict[str, Any]:
    """Fit one model on the training cells and write its run folder; scores come from the saved model.

    Raises:
        TrainingError: the training ended without usable weights.
    """
    started = time.perf_counter()
    split = CellSplit.from_json(Path(spec.split).read_text())
    rows = labelled_rows(Path(spec.tables), split, spec.settings["data"]["soh_reference"])
    cut_off = (spec.folder / "checkpoints").is_dir()
    with run_record(spec.runs, spec.run_id, {"model": spec.model, **spec.settings}, cut_off) as tracker:
        pipeline, fitted = _fit(spec, rows, split, tracker)
    reference = spec.settings["data"]["soh_reference"]
    pipeline = calibrated(pipeline, rows, reference, UncertaintySettings(**spec.settings["uncertainty"]))
    scores = write_candidate(pipeline, rows, spec.folder, reference, fitted.history)
    fields = {
        **scores,
        "key": spec.key,
        "run_id": spec.run_id,
        "data_hash": spec.data_hash,
        "features": pipeline.feature_names,
        "seconds": round(time.perf_counter() - started, 3),
        "device": fitted.device,
        "precision": fitted.precision,
        **fitted.summary,
    }
    return TrainingResult.model_validate(fields).to_json()


def _fit(spec: JobSpec, rows: pd.DataFrame, split: CellSplit, tracker: LocalTracker) -> tuple[Pipeline, FitResult]:
    """Fit features and model to the training cells; validation cells stop the fit early."""
    source = SOURCES.get(spec.settings["data"]["source"])
    settings = FeatureSettings(**spec.settings["features"])
    subsets = {name: rows[rows["subset"] == name] for name in ("train", "val")}
    features = FeaturePipeline.fit(subsets["train"], settings, source.roles(), model_spec(spec.model).takes_sequences)
    fitted = fit_model(
        spec.model,
        _samples(features, subsets["train"]),
        _samples(features, subsets["val"]),
        spec.settings,
        seed=derive_seed(int(spec.settings["seed"]), spec.model) % 2**31,
        tracker=tracker,
    )
    if fitted.problem:
        raise TrainingError(fitted.problem)
    stage = read_json(Path(spec.tables) / STAGE_FILE) or {}
    metadata = {
        "source": source.name,
        "label": source.label,
        "simulated": source.simulated,
        "soh_reference": spec.settings["data"]["soh_reference"],
        "data_version": stage.get("raw_version", ""),
        "tables_version": stage.get("version", ""),
        "run_id": spec.run_id,
        "seen_cells": [*split.train, *split.val],
    }
    target = fitted.target
    return Pipeline(spec.model, fitted.model, features, target.mean, target.scale, metadata), fitted


def _samples(features: FeaturePipeline, rows: pd.DataFrame) -> Samples:
    """Return samples of the rows, each with its sequence for a model that takes sequences."""
    samples = make_samples(pd.DataFrame(features.transform(rows)), rows["soh"], rows)
    if not features.takes_sequences:
        return samples
    return sequence_samples(samples, features.sequence_index(rows), features.settings.history_train_checkups)
