"""No number a deployed model could not have had: for every feature set and every model.

What a test cell does later, and what test cells are there at all, must not change anything. Each model is trained
twice, the second time on tables whose test cells are changed beyond recognition.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from battery_core.data.sources.base import CHARGE_STATISTICS
from battery_core.data.splits.cell_split import CellSplit
from battery_core.features.registry import FEATURES
from battery_core.features.sets.dva import DVA_PEAKS
from battery_core.features.sets.ica import PEAK
from battery_core.jobs import JobSpec
from battery_core.models.registry import MODELS
from battery_core.predictors.pipeline import PIPELINE_FILE, Pipeline
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.training.candidate import PIPELINE_FOLDER, PREDICTIONS_FILE
from battery_core.stages.training.job_specs import job_specs
from battery_core.stages.training.train import train

PEAKS = (*PEAK, *DVA_PEAKS)
MEASURED = [*CHARGE_STATISTICS, "cycle_count", "time_days", "throughput_Ah", "resistance_ohm", *PEAKS, "capacity_Ah"]
COMBINATIONS = [(model, sets) for model in MODELS if model != "mlp_history" for sets in FEATURES]


@pytest.fixture(scope="module")
def tables(prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared tables with every usage column measured, so that no feature set has nothing to see."""
    folder = tmp_path_factory.mktemp("leak") / "tables"
    shutil.copytree(prepared.tables.path, folder)
    generator = np.random.default_rng(0)
    rows = pd.read_parquet(folder / "checkups.parquet")
    life = rows["checkup_index"] * generator.uniform(0.9, 1.1, len(rows))
    rows = rows.assign(time_days=10 * life, throughput_Ah=200 * life, resistance_ohm=0.02 + 0.001 * life)
    rows = rows.assign(**{name: 0.1 + 0.01 * i * life for i, name in enumerate(PEAKS, 1)})
    rows.to_parquet(folder / "checkups.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def split(prepared) -> CellSplit:
    return CellSplit.from_json(prepared.split.path.read_text())


@pytest.fixture(scope="module")
def other_test_cells(tables: Path, split: CellSplit) -> Path:
    """Other numbers in every row of the test cells, fewer rows of one, more of another; a new group, a temperature."""
    folder = tables.parent / "other"
    shutil.copytree(tables, folder)
    cells, rows = (pd.read_parquet(folder / f"{name}.parquet") for name in ("cells", "checkups"))
    in_test = rows["cell_id"].isin(split.test)
    rows.loc[in_test, MEASURED] = rows.loc[in_test, MEASURED] * 7.0 + 3.0
    longer = rows[rows["cell_id"] == split.test[0]]
    longer = longer.assign(checkup_index=longer["checkup_index"] + 100)
    shorter = (rows["cell_id"] == split.test[1]) & (rows["checkup_index"] > 3)
    pd.concat([rows[~shorter], longer]).to_parquet(folder / "checkups.parquet", index=False)
    known = cells["cell_id"].isin(split.test)
    cells.loc[known, ["group", "protocol", "chemistry"]] = "unheard of"
    cells.loc[known, "ambient_temperature_degC"] = 45.0
    cells.to_parquet(folder / "cells.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def fit(prepared, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, Path], JobSpec]:
    """Trains a model with a feature set on tables; each once."""
    done: dict[tuple[str, str, Path], JobSpec] = {}

    def train_once(model: str, sets: str, tables: Path) -> JobSpec:
        if (model, sets, tables) not in done:
            settings = prepared.settings.model_copy(update={"models": (model,)})
            (spec,) = job_specs(settings, prepared.tables, prepared.split)
            settings = dict(spec.settings) | {"features": spec.settings["features"] | {"sets": [sets]}}
            runs = str(tmp_path_factory.mktemp("runs"))
            done[model, sets, tables] = dataclasses.replace(spec, tables=str(tables), settings=settings, runs=runs)
            train(done[model, sets, tables])
        return done[model, sets, tables]

    return train_once


@pytest.fixture
def rows(tables: Path, split: CellSplit) -> pd.DataFrame:
    found = labelled_rows(tables, split, "nominal")
    return found[found["subset"] == "test"].reset_index(drop=True)


@pytest.mark.parametrize(("model", "sets"), COMBINATIONS)
def test_test_cells_change_neither_scaler_nor_model(
    fit: Callable[..., JobSpec], tables: Path, other_test_cells: Path, model: str, sets: str
) -> None:
    one, two = (fit(model, sets, folder).folder for folder in (tables, other_test_cells))
    first, second = (json.loads((run / PIPELINE_FOLDER / PIPELINE_FILE).read_text()) for run in (one, two))
    for part in ("scaler", "feature_names", "features", "raw_columns"):
        assert first[part] == second[part], part
    before, after = (pd.read_parquet(run / PREDICTIONS_FILE) for run in (one, two))
    validation = before[before["subset"] == "val"].reset_index(drop=True)
    pd.testing.assert_frame_equal(after[after["subset"] == "val"].reset_index(drop=True), validation, check_exact=True)
    shared = before[before["subset"] == "test"].merge(after, on=["cell_id", "checkup_index"])
    assert (shared["soh_x"] != shared["soh_y"]).all()  # the change was there to be seen


@pytest.mark.parametrize(("model", "sets"), COMBINATIONS)
def test_later_rows_never_change_earlier_predictions(
    fit: Callable[..., JobSpec], tables: Path, rows: pd.DataFrame, model: str, sets: str
) -> None:
    pipeline = Pipeline.load(fit(model, sets, tables).folder / PIPELINE_FOLDER)
    before = pipeline.predict(rows)
    assert len(np.unique(before)) > 1 or sets == "condition"
    for cut in (1, 2, 6, 11):
        changed, later = rows.copy(), rows["checkup_index"] >= cut
        changed.loc[later, MEASURED] = changed.loc[later, MEASURED] * 3.0 + 1.0
        np.testing.assert_array_equal(pipeline.predict(changed)[~later], before[~later])
        if sets != "condition":
            assert (pipeline.predict(changed)[later] != before[later]).any()
        np.testing.assert_allclose(pipeline.predict(rows[~later]), before[~later], rtol=1e-6)  # nor does their absence


@pytest.mark.parametrize(("model", "sets"), COMBINATIONS)
def test_the_capacity_to_predict_plays_no_part(
    fit: Callable[..., JobSpec], tables: Path, rows: pd.DataFrame, model: str, sets: str
) -> None:
    pipeline = Pipeline.load(fit(model, sets, tables).folder / PIPELINE_FOLDER)
    assert not {"capacity_Ah", "soh"} & set(pipeline.raw_columns)
    before = pipeline.predict(rows)
    for other in (rows.assign(capacity_Ah=0.0, soh=9.0), rows.drop(columns=["capacity_Ah", "soh", "subset"])):
        np.testing.assert_array_equal(pipeline.predict(other), before)


@pytest.mark.parametrize(("model", "sets"), COMBINATIONS)
def test_other_cells_never_change_a_prediction(
    fit: Callable[..., JobSpec], tables: Path, rows: pd.DataFrame, model: str, sets: str
) -> None:
    pipeline = Pipeline.load(fit(model, sets, tables).folder / PIPELINE_FOLDER)
    one = rows["cell_id"] == rows["cell_id"].iloc[0]
    np.testing.assert_allclose(pipeline.predict(rows[one]), pipeline.predict(rows)[one], rtol=1e-6)
