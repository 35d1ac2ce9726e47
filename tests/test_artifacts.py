"""Typed results on disk: read back as they were, and refused in one sentence where they are of another layout."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from battery_core.artifacts import ConditionScores, DataChanges, FeatureDrift, TrainingResult
from battery_core.errors import DataError


def result(**changes: Any) -> TrainingResult:
    metrics = {"rmse": 0.01, "mae": 0.01, "mape": 1.0, "r2": math.nan}
    fields: dict[str, Any] = {
        "model": "lgbm", "key": "c0ffee", "run_id": "xjtu-lgbm-c0ffee", "val": metrics, "val_mean_cell_mape": 1.2,
        "conformal": None, "n_train_rows": 10, "features": ("x", "y"), "seconds": 1.5,
    }  # fmt: skip
    return TrainingResult(**(fields | changes))


def test_an_artifact_comes_back_equal_with_its_layout_version(tmp_path: Path) -> None:
    file = tmp_path / "runs" / "result.json"
    result().write(file)
    assert json.loads(file.read_text())["schema_version"] == 1
    assert TrainingResult.read(file) == result()


def test_a_figure_that_is_not_finite_is_none_in_memory_as_on_disk(tmp_path: Path) -> None:
    written = result(val_mean_cell_mape=math.inf)
    assert (written.val_mean_cell_mape, written.val.r2) == (None, None)
    written.write(tmp_path / "result.json")
    assert TrainingResult.read(tmp_path / "result.json") == written


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "got no such file"),
        ("{", "got a damaged file"),
        ("[]", "got a damaged file"),
        ('{"message": "m"}', "expected schema_version 1 in"),
        ('{"schema_version": 7, "message": "m"}', "got 7: the file is of another release"),
        ('{"schema_version": 1, "message": "m", "novel": 3}', "field 'novel' of"),
        ('{"schema_version": 1}', "field 'message' of"),
    ],
)
def test_a_foreign_file_is_refused_in_one_sentence(tmp_path: Path, text: str | None, reason: str) -> None:
    file = tmp_path / "data_changes.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DataError, match=r"run the stage that writes it again$") as caught:
        DataChanges.read(file)
    message = str(caught.value)
    assert message.startswith("DataChanges: ")
    assert reason in message
    assert str(file) in message
    assert "\n" not in message


def test_a_line_of_a_condition_names_one_condition() -> None:
    line = ConditionScores(group="2C", n_cells=3, mape=1.0, mape_low=0.5, mape_high=1.5, rmse=1.0, worst_rmse=2.0)
    assert line.condition == "2C"
    assert {"group"} == set(line.model_dump(mode="json")) & {"group", "protocol", "soh_range", "condition"}


def test_an_artifact_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        FeatureDrift(feature="x", ks=0.1, beyond_training=0.0).ks = 1.0
