"""What tests of the data stages do with a small reference folder."""

from __future__ import annotations

from pathlib import Path

from battery_core.artifacts import StageResult
from battery_core.settings import Settings
from battery_core.stages.data.fetch import fetch
from battery_core.stages.data.normalize import normalize
from battery_core.stages.data.split import split


def originals(settings: Settings) -> Path:
    """Where the set lies that was fetched from."""
    assert settings.data.reference_root is not None
    return settings.data.reference_root / "pinn4soh" / "XJTU data"


def all_stages(settings: Settings) -> tuple[StageResult, StageResult, StageResult]:
    """fetch, normalize, split."""
    raw = fetch(settings)
    tables = normalize(settings, raw)
    return raw, tables, split(settings, tables)
