"""What tests of the data stages do with a small reference folder."""

from __future__ import annotations

from pathlib import Path

from battery_core.settings import Settings
from battery_core.stages import StageResult
from battery_core.stages.data import fetch as data


def originals(settings: Settings) -> Path:
    """Where the set lies that was fetched from."""
    assert settings.data.reference_root is not None
    return settings.data.reference_root / "pinn4soh" / "XJTU data"


def all_stages(settings: Settings) -> tuple[StageResult, StageResult, StageResult]:
    """fetch, normalize, split."""
    raw = data.fetch(settings)
    tables = data.normalize(settings, raw)
    return raw, tables, data.split(settings, tables)
