"""One training job: tables and split to a pipeline, its history and its predictions for validation and test cells."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pandas as pd

from battery_core.data.registries import SOURCES
from battery_core.data.samples.from_rows import make_samples
from battery_core.data.samples.sample import Samples
from battery_core.data.splits.cell_split import CellSplit
from battery_core.data.tables.roles import Role
from battery_core.errors import TrainingError
from battery_core.features.base import build_features
from battery_core.features.registry import FEATURES
from battery_core.features.scaling import Scaler
from battery_core.features.sequences import sequence_index, sequence_samples, with_known_time
from battery_core.features.sets.condition import with_known_groups
from battery_core.features.settings import FeatureSettings
from battery_core.files import read_json
from battery_core.jobs import JobSpec
from battery_core.models.registry import model_spec
from battery_core.predictors.pipeline import Pipeline
from battery_core.seeding import derive_seed
from battery_core.stages.common import STAGE_FILE
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.training.candidate import calibrated, run_record, write_candidate
from battery_core.tracking.local_tracker import LocalTracker
from battery_core.training.fitting import FitResult, fit_model
from battery_core.uncertainty.settings import UncertaintySettings


def train(spec: JobSpec) -> dict[str, Any]:
    """Fit one model on the training cells and write its run folder; what serves later is what is scored here.

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
    told = write_candidate(pipeline, rows, spec.folder, reference, fitted.history)
    return {
        **told,
        "data_hash": spec.data_hash,
        "features": list(pipeline.feature_names),
        "seconds": round(time.perf_counter() - started, 3),
        "device": fitted.device,
        "precision": fitted.precision,
        **fitted.summary,
    }


def _fit(spec: JobSpec, rows: pd.DataFrame, split: CellSplit, tracker: LocalTracker) -> tuple[Pipeline, FitResult]:
    source = SOURCES.get(spec.settings["data"]["source"])
    given = FeatureSettings(**spec.settings["features"])
    in_training = rows[rows["subset"] == "train"]
    features = with_known_groups(given, in_training["group"])
    raw = _raw_columns(rows, features.sets, source.roles())
    takes_sequences = model_spec(spec.model).takes_sequences
    if takes_sequences:
        features = with_known_time(features, in_training)
        raw += [name for name in [features.history_time] if name not in raw]
    used = rows[rows["subset"] != "unused"]
    table = build_features(used[raw], features.sets, features)
    part = used["subset"].to_numpy()
    table = table.loc[:, table[part == "train"].notna().any()]  # a column without a training value cannot be learnt
    scaler = Scaler.fit(table[part == "train"].to_numpy(), list(table.columns), features.clip_quantile)
    samples = make_samples(pd.DataFrame(scaler.transform(table.to_numpy())), used["soh"], used)
    fitted = fit_model(
        spec.model,
        *_train_and_val(samples, part, used, features, takes_sequences),
        spec.settings,
        seed=derive_seed(int(spec.settings["seed"]), spec.model) % 2**31,
        tracker=tracker,
    )
    if fitted.problem:
        raise TrainingError(fitted.problem)
    stage = read_json(Path(spec.tables) / STAGE_FILE) or {}
    facts = {
        "source": source.name,
        "label": source.label,
        "simulated": source.simulated,
        "soh_reference": spec.settings["data"]["soh_reference"],
        "data_version": stage.get("raw_version", ""),
        "tables_version": stage.get("version", ""),
        "run_id": spec.run_id,
        "seen_cells": [*split.train, *split.val],
    }
    names = tuple(map(str, table.columns))
    target = fitted.target
    return Pipeline(
        spec.model, fitted.model, features, names, scaler, tuple(raw), target.mean, target.scale,
        takes_sequences, facts,
    ), fitted  # fmt: skip


def _train_and_val(
    samples: Samples, part: Any, rows: pd.DataFrame, features: FeatureSettings, histories: bool
) -> tuple[Samples, Samples]:
    """Samples to learn from and to stop on, each with its history where the model reads one."""
    if not histories:
        return samples.take(part == "train"), samples.take(part == "val")
    index, most = sequence_index(rows, features), features.history_train_checkups
    return sequence_samples(samples, index, part == "train", most), sequence_samples(
        samples, index, part == "val", most
    )


def _raw_columns(rows: pd.DataFrame, sets: tuple[str, ...], roles: Any) -> list[str]:
    """Measured columns these feature sets read; label-equivalent ones never come this far."""
    wanted = {column for name in sets for column in (*FEATURES[name].requires, *FEATURES[name].uses)}
    hidden = {column for column, role in roles.items() if role is Role.LABEL_EQUIVALENT}
    return ["cell_id", "checkup_index", *(c for c in rows.columns if c in wanted - hidden)]
