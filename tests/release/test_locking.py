"""One run at a time: the second waits and says for whom; a killed run gives the lock back at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from battery_core.files import read_json
from battery_core.release import locking
from battery_core.release.locking import hold_lock

HOLD = (
    "import sys, time; from pathlib import Path; from battery_core.release.locking import hold_lock\n"
    "with hold_lock(Path(sys.argv[1]), 'nightly-1', print):\n"
    "    print('held', flush=True); time.sleep(float(sys.argv[2]))\n"
)


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock for some seconds."""
    started: list[subprocess.Popen[str]] = []

    def start(seconds: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(tmp_path / "train.lock"), str(seconds)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout is not None
        assert started[-1].stdout.readline() == "held\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for_the_lock(file: Path, say: Callable[[str], None]) -> tuple[threading.Thread, list[float]]:
    got: list[float] = []

    def work() -> None:
        with hold_lock(file, "nightly-2", say):
            got.append(time.monotonic())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, got


def test_the_second_process_waits_and_says_for_whom(tmp_path: Path, holder) -> None:
    process, said = holder(1.5), []
    thread, got = wait_for_the_lock(tmp_path / "train.lock", said.append)
    time.sleep(0.6)
    assert got == []
    assert len(said) == 1  # once, not at every look
    assert said[0].startswith(f"waiting for 'nightly-1' (process {process.pid}, since 20")
    assert said[0].endswith("train.lock; this run goes on when it ends")
    thread.join(10)
    assert len(got) == 1
    assert process.wait(5) == 0


def test_a_killed_holder_frees_the_lock_at_once(tmp_path: Path, holder) -> None:
    process = holder(60)
    thread, got = wait_for_the_lock(tmp_path / "train.lock", lambda _: None)
    time.sleep(0.3)
    assert got == []
    process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    thread.join(10)
    assert got[0] - killed < 2


def test_the_note_names_the_holder_and_goes_with_the_lock(tmp_path: Path) -> None:
    note = tmp_path / "deep" / "train.holder.json"
    with hold_lock(tmp_path / "deep" / "train.lock", "by hand", print):
        assert read_json(note)["run_name"] == "by hand"
    assert not note.exists()


def test_an_error_inside_gives_the_lock_back(tmp_path: Path) -> None:
    def fail() -> None:
        with hold_lock(tmp_path / "train.lock", "one", print):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    said: list[str] = []
    with hold_lock(tmp_path / "train.lock", "two", said.append):
        pass
    assert said == []


@pytest.mark.parametrize("note", ["", "half {"])
def test_a_holder_without_a_note_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder, note: str
) -> None:
    monkeypatch.setattr(locking, "_POLL_S", 0.05)
    holder(0.5)
    (tmp_path / "train.holder.json").write_text(note)
    said: list[str] = []
    with hold_lock(tmp_path / "train.lock", "two", said.append):
        pass
    assert said[0].startswith("waiting for 'another run' (process ?, since ?)")
