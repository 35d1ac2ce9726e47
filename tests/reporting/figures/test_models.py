"""How models learnt, what they look at and whether their intervals hold: figures of a size that can be read."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.reporting.figures import models as model_figures
from battery_core.reporting.figures import predictions as figures

LEVELS = [{"nominal": level, "coverage": level - 0.05, "width": 10 * level} for level in (0.5, 0.8, 0.9)]
TORCH = {"train_loss": [3.0, 2.0, 1.0], "val_loss": [3.0, None, 2.5], "lr": [0.1] * 3, "stop_reason": "epochs"}


def size_of(png: Path) -> tuple[int, int]:
    head = png.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def test_calibration_of_many_models(tmp_path: Path) -> None:
    file = model_figures.draw_calibration(
        {f"m{i}": LEVELS for i in range(7)}, "intervals", tmp_path / "calibration.png"
    )
    assert size_of(file)[0] > 2 * size_of(file)[1]


@pytest.mark.parametrize(
    ("histories", "lines"),
    [
        ({}, 1),
        ({"kernel_ridge": {"val_mape": [1.0, 2.0]}}, 1),
        ({"mlp": TORCH}, 1),
        ({f"m{i}": TORCH for i in range(4)}, 2),
    ],
)
def test_learning_curves_of_models_that_have_some(histories: dict[str, Any], lines: int, tmp_path: Path) -> None:
    _, height = size_of(model_figures.draw_learning_curves(histories, "training", tmp_path / "learning.png"))
    assert height == pytest.approx(110 * (2.8 * lines + 0.4), abs=2)


def test_importance_shows_the_largest_features_only(tmp_path: Path) -> None:
    found = {f"feature_{i}": float(i) for i in range(60)}
    file = model_figures.draw_importance(
        {"lgbm": found, "mlp": found}, "importance", "gain, %", tmp_path / "importance.png"
    )
    assert size_of(file)[1] < 110 * 6


@pytest.mark.parametrize("broken", [None, np.nan, np.inf])
def test_residuals_are_drawn_whatever_the_predictions(broken: float | None, tmp_path: Path) -> None:
    rows = pd.DataFrame({"cell_id": "a", "soh": np.linspace(1.0, 0.8, 40), "group": "g"})
    rows = rows.assign(prediction=rows["soh"] + 0.01, ambient_temperature_degC=np.nan)
    if broken is not None:
        rows["prediction"] = broken
    assert size_of(figures.draw_residuals(rows, "mlp", tmp_path / "residuals.png"))[0] == 616
