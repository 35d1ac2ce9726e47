"""Training jobs in real processes: reused, refused, killed, timed out, orphaned, interrupted."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from battery_core import jobs
from battery_core.errors import TrainingError
from battery_core.files import read_json, write_json
from battery_core.jobs import RESULT_FILE, JobKilled, JobSpec, finished, none_left_behind, run_job

FAKE = Path(__file__).with_name("fake_job.py")


@pytest.fixture(autouse=True)
def _fake_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_command", lambda spec_file: [sys.executable, str(FAKE), str(spec_file)])


@pytest.fixture
def job(tmp_path: Path) -> Callable[[str], JobSpec]:
    def spec(do: str) -> JobSpec:
        settings = {"data": {"source": "xjtu"}, "do": do}
        return JobSpec("mlp", "tables", "split.json", "d" * 8, settings, "c" * 8, str(tmp_path / "runs"))

    return spec


def calls(spec: JobSpec) -> int:
    return len((spec.folder / "calls").read_text().split())


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(true: Callable[[], object], seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


def test_a_result_comes_back_and_is_reused_for_an_equal_key(job: Callable[[str], JobSpec], tmp_path: Path) -> None:
    said: list[str] = []
    first = run_job(job("well"), 30, threads=3, log=said.append)
    assert (first["value"], first["threads"], first["reused"], first["not finite"]) == (0.5, "3", False, None)
    assert said == ["training: well"]
    again = run_job(job("well"), 30)
    assert again == first | {"reused": True}
    assert calls(job("well")) == 1
    moved = dataclasses.replace(job("well"), tables="elsewhere/tables")  # the content counts, not the place
    assert run_job(moved, 30)["reused"]


@pytest.mark.parametrize(
    "change",
    [{"data_hash": "e"}, {"code": "e"}, {"model": "lgbm"}, {"settings": {"do": "x"}}, {"libraries": {"torch": "0"}}],
)
def test_another_content_is_another_key(job: Callable[[str], JobSpec], change: dict[str, object]) -> None:
    other = dataclasses.replace(job("well"), **change)
    assert other.key != job("well").key


@pytest.mark.parametrize("name", ["lightgbm", "numpy", "torch", "torchdiffeq"])
def test_after_an_upgrade_of_what_trains_nothing_stands(
    job: Callable[[str], JobSpec], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    names, version = ("lightgbm", "torch", "torchdiffeq"), importlib.metadata.version
    before = dataclasses.replace(job("well"), libraries=jobs.library_versions(*names))

    def installed(as_if: str) -> JobSpec:
        monkeypatch.setattr(importlib.metadata, "version", lambda asked: as_if if asked == name else version(asked))
        return dataclasses.replace(before, libraries=jobs.library_versions.__wrapped__(*names))

    assert before.libraries[name] == version(name).split("+")[0]
    assert installed("99.0").key != before.key
    assert installed(before.libraries[name] + "+cu130").key == before.key  # the same version for another device


def test_a_result_of_another_key_or_half_a_result_is_no_result(job: Callable[[str], JobSpec]) -> None:
    spec = job("well")
    assert finished(spec) is None
    write_json(spec.folder / RESULT_FILE, {"value": 1, "key": "another"})
    assert finished(spec) is None
    whole = '{"value": 1, "key": "' + spec.key + '"}'
    for half in (whole[:-1], whole[:12], "", "[]", "null"):
        (spec.folder / RESULT_FILE).write_text(half)
        assert finished(spec) is None
    (spec.folder / RESULT_FILE).write_text(whole)
    assert finished(spec) == {"value": 1, "key": spec.key}


def test_what_no_retry_can_heal_is_a_training_error_with_its_line(job: Callable[[str], JobSpec]) -> None:
    said: list[str] = []
    with pytest.raises(TrainingError, match=r"^training job 'xjtu-mlp-.*': cell 'A3': no column \"capacity\"$"):
        run_job(job("bad data"), 30, log=said.append)
    assert said == ["training: bad data"]  # the error is raised once, not said before
    assert finished(job("bad data")) is None


def test_a_bug_says_its_last_lines(job: Callable[[str], JobSpec]) -> None:
    with pytest.raises(TrainingError, match=r"ended with code 1; last lines: .*ZeroDivisionError: division by zero"):
        run_job(job("bug"), 30)


def test_a_killed_job_may_be_run_again(job: Callable[[str], JobSpec]) -> None:
    spec = job("killed once")
    with pytest.raises(JobKilled, match=r"its process was killed by SIGKILL"):
        run_job(spec, 30)
    assert (spec.folder / RESULT_FILE).is_file()
    assert finished(spec) is None  # half a result is none
    half = spec.folder / "checkpoints" / ".last.pt.4859.part"
    half.parent.mkdir()
    half.write_bytes(b"half")
    assert run_job(spec, 30)["value"] == 0.5
    assert calls(spec) == 2
    assert not half.exists()


def test_a_job_out_of_time_is_stopped_with_all_it_started(
    job: Callable[[str], JobSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_STOP_GRACE_S", 1.0)
    spec = job("sleep")
    started = time.monotonic()
    with pytest.raises(TrainingError, match=r"not done after 2 s, stopped - raise jobs.timeout_s or train less"):
        run_job(spec, 2.0)
    assert time.monotonic() - started < 8
    pids = read_json(spec.folder / "pids.json")
    assert len(pids) == 2
    assert until(lambda: not any(map(is_alive, pids)), 2), "the child ignores SIGTERM and must be killed"


def test_what_a_job_left_running_ends_with_it(job: Callable[[str], JobSpec]) -> None:
    started = time.monotonic()
    assert run_job(job("leave a child"), 30)["value"] == 0.5
    assert time.monotonic() - started < 10
    _, child = read_json(job("leave a child").folder / "pids.json")
    assert until(lambda: not is_alive(child), 2)


def test_a_job_leaves_when_its_parent_is_killed(job: Callable[[str], JobSpec]) -> None:
    spec = job("sleep")
    code = (
        "import sys, json, battery_core.jobs as jobs\n"
        f"jobs._command = lambda file: [sys.executable, {str(FAKE)!r}, str(file)]\n"
        f"jobs.run_job(jobs.JobSpec(**json.loads({jobs.json.dumps(dataclasses.asdict(spec))!r})), 60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    pids: list[int] = []
    try:
        assert until(lambda: (spec.folder / "pids.json").is_file())
        pids = read_json(spec.folder / "pids.json")
        parent.send_signal(signal.SIGKILL)
        parent.wait(5)
        assert until(lambda: not any(map(is_alive, pids)), 5)
        assert finished(spec) is None
    finally:
        for pid in filter(is_alive, [parent.pid, *pids]):
            os.kill(pid, signal.SIGKILL)


def test_an_interrupted_run_leaves_no_job_behind(job: Callable[[str], JobSpec]) -> None:
    ended: list[BaseException] = []

    def work() -> None:
        try:
            run_job(job("sleep"), 60)
        except TrainingError as err:
            ended.append(err)

    def interrupted() -> None:
        with none_left_behind():
            worker.start()
            assert until(lambda: (job("sleep").folder / "pids.json").is_file())
            raise KeyboardInterrupt

    worker = threading.Thread(target=work)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    worker.join(10)
    pids = read_json(job("sleep").folder / "pids.json")
    assert until(lambda: not any(map(is_alive, pids)), 2)
    assert "stopped with its run" in str(ended[0])  # nothing that a retry would start again
    assert not jobs._RUNNING
    with pytest.raises(TrainingError, match=r"not started, its run is being stopped"):
        run_job(job("well"), 30)
    with none_left_behind():  # the next run starts its jobs as ever
        assert run_job(job("well"), 30)["value"] == 0.5


def test_one_dead_job_never_takes_the_others(job: Callable[[str], JobSpec]) -> None:
    results: dict[str, object] = {}

    def work(do: str) -> None:
        try:
            results[do] = run_job(job(do), 30)["value"]
        except (JobKilled, TrainingError) as err:
            results[do] = type(err)

    threads = [threading.Thread(target=work, args=(do,)) for do in ("killed", "well", "bad data")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == {"killed": JobKilled, "well": 0.5, "bad data": TrainingError}
