"""Which commit made a model, and whether the commit alone could make it again: a real repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from battery_core.release import provenance
from battery_core.release.provenance import CodeState, code_state


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    git(tmp_path, "init", "-q")
    for file in ("battery_core/models/mlp.py", "flows/train.py", "params.yaml", "README.md"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("first\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first", "--no-verify")
    return tmp_path


def test_a_clean_checkout_is_its_commit(checkout: Path) -> None:
    state = code_state(checkout)
    assert state == CodeState(git(checkout, "rev-parse", "HEAD"), ())
    assert not state.is_dirty


def test_changed_code_is_named(checkout: Path) -> None:
    (checkout / "battery_core/models/mlp.py").write_text("second\n")
    assert code_state(checkout).changed == ("battery_core/models/mlp.py",)
    git(checkout, "add", ".")
    assert code_state(checkout).is_dirty  # staged is not committed
    git(checkout, "commit", "-qm", "second", "--no-verify")
    assert not code_state(checkout).is_dirty


def test_new_and_removed_code_counts_too(checkout: Path) -> None:
    (checkout / "battery_core/models/new.py").write_text("new\n")
    (checkout / "flows/train.py").unlink()
    assert set(code_state(checkout).changed) == {"battery_core/models/new.py", "flows/train.py"}


def test_settings_data_and_papers_do_not_count(checkout: Path) -> None:
    for file in ("params.yaml", "README.md", "data.csv", "splits.json"):
        (checkout / file).write_text("changed\n")
    assert not code_state(checkout).is_dirty


def test_outside_version_control_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert code_state(tmp_path) == CodeState("unknown", ())
    git(tmp_path, "init", "-q")
    assert code_state(tmp_path).commit == "unknown"  # no commit yet


def test_without_git_the_commit_is_unknown(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_git(*_: object, **__: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(provenance.subprocess, "run", no_git)
    assert code_state(checkout) == CodeState("unknown", ())
