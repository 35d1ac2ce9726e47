"""What tests of training and of its report share: jobs trained on small cells, and the rows they are judged on."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from battery_core.data.splits import CellSplit
from battery_core.jobs import JobSpec
from battery_core.stages.train import job_specs, labelled_rows


@pytest.fixture
def specs(prepared, trained: list[dict[str, Any]]) -> dict[str, JobSpec]:
    """The job of each trained model, by its name."""
    return {spec.model: spec for spec in job_specs(prepared.settings, prepared.tables, prepared.split)}


@pytest.fixture
def rows(prepared) -> pd.DataFrame:
    """Every labelled check-up of the prepared cells."""
    split = CellSplit.from_json(prepared.split.path.read_text())
    return labelled_rows(prepared.tables.path, split, "nominal")
