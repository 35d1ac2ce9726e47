"""Raw XJTU files of a test's own, and which of their cells are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from battery_core.data.sources.charge_statistics.source import XJTU
from battery_core.settings import Settings
from battery_core.stages.data.fetch import fetch

Make = Callable[..., Settings]


@pytest.fixture
def fetched(tmp_path: Path, write_xjtu: Callable[..., Path], xjtu_settings: Callable[..., Settings]) -> Make:
    """Settings on fetched raw files of the test's own; changes are settings."""
    root = write_xjtu(tmp_path / "reference")

    def made(**changes: Any) -> Settings:
        return xjtu_settings(tmp_path / "project", root, **changes)

    fetch(made())
    return made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the cells that were read from their raw files."""
    cells: list[str] = []
    plain = XJTU.read_cells

    def told(self: Any, raw_dir: Path, asked: Any, *rest: Any) -> Any:
        cells.extend(cell.cell_id for cell in asked)
        return plain(self, raw_dir, asked, *rest)

    monkeypatch.setattr(XJTU, "read_cells", told)
    return cells
