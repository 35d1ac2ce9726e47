"""``python flows/train.py`` alone, as on the first evening: whole history, two at once, kills in the middle."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from battery_core.files import read_json

pytestmark = pytest.mark.e2e
TRAIN = ("python", "flows/train.py")
TASKS = (
    "fetch", "normalize", "split", "snapshot", "data-changes", "open-registry", *["train"] * 6,
    "build-ensemble", "evaluate", "select", "report", "compare", "promote",
)  # fmt: skip
ALL_COMPLETED = ["COMPLETED"] * len(TASKS)


def test_nothing_runs_and_the_doctor_says_so(house: Any) -> None:
    done = house.run("python", "-m", "deployments.doctor")
    assert done.returncode == 1, done.stdout
    assert f"LOOK  server             none answers at {house.api}" in done.stdout
    assert "prefect server start" in done.stdout


def test_a_deployment_cannot_be_run_without_a_server(house: Any) -> None:
    done = house.run("prefect", "deployment", "run", "train/nightly", PREFECT_CLIENT_MAX_RETRIES="0")
    assert done.returncode != 0, done.stdout


def test_every_task_run_is_in_the_history(house: Any) -> None:
    first = house.run(*TRAIN)
    assert first.returncode == 0, first.stdout
    assert "is champion" in first.stdout
    assert "where to look next" in first.stdout
    assert "View at" not in first.stdout
    assert list(house.history().values()) == [("COMPLETED", ALL_COMPLETED)]
    second = house.run(*TRAIN)
    assert second.returncode == 0, second.stdout
    assert "raw data unchanged, skipped" in second.stdout
    assert list(house.history().values()) == [("COMPLETED", ALL_COMPLETED)] * 2
    assert house.versions() == 2
    assert house.processes() == {}


def test_two_at_once_run_one_after_the_other(house: Any) -> None:
    before = house.versions()
    runs = [house.start(*TRAIN, "--seed", seed) for seed in ("11", "12")]
    codes = [run.wait(300) for run in runs]
    said = [house.said(run) for run in runs]
    assert codes == [0, 0], "\n".join(said)
    waited = [text for text in said if "waiting for 'simulated-" in text]
    assert len(waited) == 1, "\n".join(said)
    assert "this run goes on when it ends" in waited[0]
    assert house.versions() == before + 2
    assert list(house.history().values())[-2:] == [("COMPLETED", ALL_COMPLETED)] * 2


def long(epochs: int) -> tuple[str, ...]:
    """A training that is cut off before it ends, unless it is waited for."""
    return ("--models", "mlp", "--trainer.epochs", str(epochs), "--trainer.early_stopping_patience", str(epochs))


def in_the_middle(house: Any, wait_for: Any, seed: str, epochs: int = 1000) -> tuple[Any, Path]:
    """A run whose training has written its first checkpoints, and the folder of its job."""
    runs = house.root / "artifacts" / "runs"
    before = {file.parent.parent for file in runs.glob("*/checkpoints/last.pt")}
    run = house.start(*TRAIN, *long(epochs), "--seed", seed)

    def training() -> list[Path]:
        assert run.poll() is None, house.said(run)
        return [file.parent.parent for file in runs.glob("*/checkpoints/last.pt") if file.parent.parent not in before]

    (folder,) = wait_for(training, 120)
    assert house.processes("train-job")
    return run, folder


def test_kill_in_the_middle_then_again(house: Any, wait_for: Any) -> None:
    before = house.versions()
    run, job = in_the_middle(house, wait_for, "21")
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    wait_for(lambda: not house.processes("train-job"), 10)  # no orphan goes on writing
    assert not (job / "result.json").exists()
    wait_for(lambda: not house.processes(), 20)  # nor does the temporary server stay
    again = house.run(*TRAIN, *long(1000), "--seed", "21")
    assert again.returncode == 0, again.stdout
    assert "waiting for" not in again.stdout  # the lock died with its process
    assert house.versions() == before + 1
    assert read_json(job / "result.json")["run_id"] == job.name
    assert len(read_json(job / "history.json")["val_loss"]) == 1000  # each epoch once, before and after the kill
    left = list(house.root.joinpath("artifacts").rglob("*.part"))
    assert left == []


@pytest.mark.parametrize(("sign", "code", "seed"), [("SIGTERM", 143, "22"), ("SIGINT", 130, "23")])
def test_stopped_in_the_middle_leaves_nothing_running(
    house: Any, wait_for: Any, sign: str, code: int, seed: str
) -> None:
    run, job = in_the_middle(house, wait_for, seed, epochs=20_000)
    if sign == "SIGINT":  # a terminal sends Ctrl-C to all of them, the temporary server too
        os.killpg(run.pid, signal.SIGINT)
    else:
        os.kill(run.pid, signal.SIGTERM)
    assert run.wait(30) == code, house.said(run)
    wait_for(lambda: not house.processes(), 5)
    assert not (job / "result.json").exists()
    assert "Error logging to API" not in house.said(run)
    assert "Traceback" not in house.said(run)
    state, _ = list(house.history().values())[-1]
    assert state == "CRASHED"
