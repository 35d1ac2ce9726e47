"""What tests of stages share: a small reference folder, jobs trained on small cells, the rows they are judged on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from battery_core.data.splits.cell_split import CellSplit
from battery_core.jobs import JobSpec
from battery_core.settings import Settings
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.training.job_specs import job_specs


@pytest.fixture
def settings(
    tmp_path: Path, write_xjtu: Callable[..., Path], xjtu_settings: Callable[..., Settings]
) -> Callable[..., Settings]:
    """Settings on a small reference folder of the test's own; changes are settings."""
    root = write_xjtu(tmp_path / "reference")
    return lambda **changes: xjtu_settings(tmp_path / "project", root, **changes)


@pytest.fixture
def specs(prepared, trained: list[dict[str, Any]]) -> dict[str, JobSpec]:
    """The job of each trained model, by its name."""
    return {spec.model: spec for spec in job_specs(prepared.settings, prepared.tables, prepared.split)}


@pytest.fixture
def rows(prepared) -> pd.DataFrame:
    """Every labelled check-up of the prepared cells."""
    split = CellSplit.from_json(prepared.split.path.read_text())
    return labelled_rows(prepared.tables.path, split, "nominal")
