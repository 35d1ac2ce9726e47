"""One empty MLflow store for all tests: creating it takes seconds, copying it none."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from battery_core.tracking.mlflow_tracker import ensure_store


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    ensure_store(f"sqlite:///{file}")
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file


@pytest.fixture
def new_store(_template: Path) -> Callable[[Path], str]:
    """Puts a fresh store into a folder and gives its URI."""

    def make(folder: Path) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(_template, folder / "mlflow.db")
        return f"sqlite:///{folder / 'mlflow.db'}"

    return make
