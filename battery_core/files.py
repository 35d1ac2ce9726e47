"""Write files and folders atomically: a reader sees the whole content or none."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_STALE_AFTER_S = 24 * 3600


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder to fill; it replaces ``target`` in one step when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    old = part.with_suffix(".old")
    try:
        yield part
        part.chmod(0o755)  # mkdtemp makes it private
        if target.exists():
            target.rename(old)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _sweep(target: Path) -> None:
    """Remove leftovers of killed runs; a folder that is still being filled is younger than a day."""
    for suffix in ("part", "old"):
        for left in target.parent.glob(f".{target.name}.*.{suffix}"):
            if time.time() - left.stat().st_mtime > _STALE_AFTER_S:
                shutil.rmtree(left, ignore_errors=True)


def sweep_parts(folder: Path) -> None:
    """Remove half-written files and folders below a folder that nobody else writes to now."""
    for part in sorted(folder.rglob(".*.part")):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def write_text(file: Path, text: str) -> None:
    """Write a text file in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def write_json(file: Path, content: Any) -> None:
    """Write JSON in one step; numbers that are not finite are written as null."""
    write_text(file, json.dumps(_finite(content), indent=2, default=str) + "\n")


def read_json(file: Path) -> Any:
    """Return the content of a JSON file, or None where it is missing or incomplete."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # not JSON, or not even text
        return None


def _finite(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        value = value.tolist()
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value
