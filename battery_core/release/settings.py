"""Settings of the promotion rule and of the packages."""

from __future__ import annotations

import importlib.util

from pydantic import field_validator

from battery_core.base_settings import SectionSettings, setting
from battery_core.errors import unknown_name
from battery_core.evaluation.settings import BASELINE_NAMES

WORST_CELL = "worst_cell"
SLICE_CHECKS = ("temperature", "group", WORST_CELL)


class ReleaseSettings(SectionSettings):
    """When a challenger becomes the champion."""

    registered_model: str = setting("", "name in the model registry; empty: soh-<source>")
    min_improvement: float = setting(
        0.02, "a challenger must lower the champion's error by this share", unit="fraction", ge=0
    )
    confidence: float = setting(
        0.95, "confidence over test cells that the improvement is real", unit="fraction", ge=0.5, lt=1.0
    )
    slice_checks: tuple[str, ...] = setting(
        ("temperature", "group", WORST_CELL), "slices in which it must not be worse: temperature, group, worst_cell"
    )
    max_slice_regression: float = setting(
        0.25, "largest allowed growth of the error in a slice, a share; a slice has few cells", unit="fraction", ge=0.0
    )
    required_baselines: tuple[str, ...] = setting(
        ("train_mean", "linear_throughput"), "baselines that a challenger must beat"
    )
    retrain_only_if_new: bool = setting(
        False, "stop after split when data, split, settings and code are those of the champion or the last candidate"
    )
    allow_dirty: bool = setting(False, "promote although code in the working tree is not committed")
    champion_timeout_s: float = setting(
        600.0, "time limit for loading the champion with its packed code and predicting", unit="s", gt=0
    )

    onnx: bool = setting(False, "also write the candidate's perceptrons and LSTM as ONNX; needs the extra onnx")

    @field_validator("onnx")
    @classmethod
    def _can_be_checked(cls, wanted: bool) -> bool:
        missing = [name for name in ("onnx", "onnxruntime") if wanted and importlib.util.find_spec(name) is None]
        if missing:
            raise ValueError(
                f"package {' and '.join(missing)} is not installed: pip install -c constraints.txt -e '.[onnx]'"
            )
        return wanted

    @field_validator("required_baselines")
    @classmethod
    def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in BASELINE_NAMES:
                raise ValueError(str(unknown_name("baseline", name, BASELINE_NAMES)))
        return names

    @field_validator("slice_checks")
    @classmethod
    def _are_slice_checks(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in SLICE_CHECKS:
                raise ValueError(str(unknown_name("slice check", name, SLICE_CHECKS)))
        return names
