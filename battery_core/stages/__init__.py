"""The stages: files in, files out. The one room that composes the others; DVC, Prefect and people call it alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StageResult:
    """What a stage left: a small reference that tasks hand over.

    Args:
        path: the artefact.
        version: its content hash.
        skipped: True when it stood already for exactly this input.
        message: what happened, for people.
    """

    path: Path
    version: str
    skipped: bool
    message: str
