"""Raw charges of the NASA cells, for tests on real curves."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from battery_core.data.settings import DataSettings
from battery_core.data.sources.nasa_pcoe.source import NasaPcoe


@pytest.fixture(scope="session")
def nasa_curves(reference_root: Path) -> pd.DataFrame:
    """Curves of one cell at 24 degC and one at 43 degC, some check-ups each."""
    source, settings = NasaPcoe(), DataSettings(source="nasa_pcoe", reference_root=reference_root)
    folder = reference_root / "nasa_pcoe"
    cells = [cell for cell in source.cell_files(folder, settings) if cell.cell_id in ("B0025", "B0031")]
    parts = [source.read_cell(folder, cell, settings).curves for cell in cells]
    whole = pd.concat([part for part in parts if part is not None], ignore_index=True)
    return whole[whole["checkup_index"].isin([1, 9, 20, 27])].reset_index(drop=True)
