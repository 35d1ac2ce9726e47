"""Which code made a model: the commit, and whether the working tree differs from it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_CODE = ("battery_core", "tasks", "flows", "deployments", "pyproject.toml", "constraints.txt")
REPOSITORY = Path(__file__).resolve().parents[2]
"""Folder of the running code, which may differ from the project folder."""


@dataclass(frozen=True)
class CodeState:
    """The commit (``unknown`` outside version control) and the changed code files."""

    commit: str
    changed: tuple[str, ...]

    @property
    def is_dirty(self) -> bool:
        """Whether the code differs from its commit, so that the commit alone cannot rebuild its models."""
        return bool(self.changed)


def code_state(root: Path | None = None) -> CodeState:
    """Return the state of the running code. Settings and data do not count: the run records them."""
    root = root or REPOSITORY
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return CodeState("unknown", ())
    changed = _git(root, "status", "--porcelain", "--", *_CODE) or ""
    return CodeState(commit.strip(), tuple(line[3:] for line in changed.splitlines() if line.strip()))


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=30)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
