"""Which code made a model: the commit, and whether the working tree differs from it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_CODE = ("battery_core", "tasks", "flows", "deployments", "pyproject.toml", "constraints.txt")
CHECKOUT = Path(__file__).resolve().parents[2]
"""Where this very code lies, whatever project folder it works on."""


@dataclass(frozen=True)
class CodeState:
    """The commit (``unknown`` outside version control) and the changed code files."""

    commit: str
    changed: tuple[str, ...]

    @property
    def dirty(self) -> bool:
        """Whether someone with the commit alone could not rebuild what this code makes."""
        return bool(self.changed)


def code_state(root: Path | None = None) -> CodeState:
    """State of the checkout that the running code is from. Settings and data do not count: the run records them."""
    root = root or CHECKOUT
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
