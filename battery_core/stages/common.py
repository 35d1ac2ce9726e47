"""Names, keys and tables that the stages share."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from battery_core.data.registries import SOURCES
from battery_core.errors import DataError

if TYPE_CHECKING:
    from battery_core.data.sources.base import Source
    from battery_core.settings import Settings

ORIGIN_FILE = "ORIGIN.json"
STAGE_FILE = "stage.json"


def source_of(settings: Settings) -> Source:
    """Return the source that the settings name."""
    source: Source = SOURCES.get(settings.data.source)
    return source


def stage_key(*contents: Any) -> str:
    """Return the hash of all contents that a stage depends on."""
    return hashlib.sha256(json.dumps(contents, sort_keys=True, default=str).encode()).hexdigest()


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """Return one of the canonical tables.

    Raises:
        DataError: the table does not exist yet.
    """
    file = folder / f"{name}.parquet"
    if not file.is_file():
        raise DataError(f"table '{name}': no '{file}' - run the stage normalize first")
    return pd.read_parquet(file)
