"""Labelled check-ups and trained models that the tests of explanations share."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from battery_core.data.splits import CellSplit
from battery_core.models.pipeline import Pipeline
from battery_core.stages.candidate import PIPELINE_FOLDER
from battery_core.stages.train import labelled_rows


@pytest.fixture
def labelled(prepared) -> pd.DataFrame:
    split = CellSplit.from_json(prepared.split.path.read_text())
    return labelled_rows(prepared.tables.path, split, "nominal")


@pytest.fixture
def train_rows(labelled: pd.DataFrame) -> pd.DataFrame:
    return labelled[labelled["part"] == "train"]


@pytest.fixture
def test_rows(labelled: pd.DataFrame) -> pd.DataFrame:
    return labelled[labelled["part"] == "test"].reset_index(drop=True)


@pytest.fixture
def pipelines(prepared, trained: list[dict[str, Any]]) -> dict[str, Pipeline]:
    """The trained models of feature vectors, by name."""
    runs = prepared.settings.folder("artifacts") / "runs"
    return {r["model"]: Pipeline.load(runs / r["run_id"] / PIPELINE_FOLDER) for r in trained}
