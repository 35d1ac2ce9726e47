"""What tests of all rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reference_root() -> Path:
    """Folder of measured reference data; tests that need it are skipped where it is not there."""
    root = os.environ.get("BATTERY__DATA__REFERENCE_ROOT")
    if not root:
        pytest.skip("no reference data: BATTERY__DATA__REFERENCE_ROOT is not set")
    folder = Path(root)
    if not folder.is_dir():
        pytest.skip(f"no reference data: folder {folder} (BATTERY__DATA__REFERENCE_ROOT) is missing")
    return folder
