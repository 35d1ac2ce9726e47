"""A pipeline that cannot be read is one line that says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from battery_core.errors import DataError
from battery_core.predictors.pipeline import PIPELINE_FILE, Pipeline


def test_no_pipeline(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected 'pipeline.json' in .*, found none"):
        Pipeline.load(tmp_path)


@pytest.mark.parametrize(
    "about",
    [{}, {"model_name": "gone"}, {"model_name": "lgbm", "features": {"a_setting_of_old": 1}}],
)
def test_a_pipeline_of_other_code(tmp_path: Path, about: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("battery_core.models.lgbm.LGBMModel.load", lambda folder: None)
    (tmp_path / PIPELINE_FILE).write_text(json.dumps(about))
    with pytest.raises(DataError, match=r"this code cannot read it .* train anew"):
        Pipeline.load(tmp_path)
