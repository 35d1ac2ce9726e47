"""The flow ``train`` on small cells when a job dies: of its own settings, or killed from outside."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from battery_core.errors import TrainingError
from battery_core.release.model_registry import ModelRegistry
from battery_core.settings import Settings

FlowRun = Any
"""What ``tell`` of conftest.py gives."""


@pytest.fixture(scope="module")
def settings(prepared, new_store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The prepared cells with runs and a registry of their own, and code that is not committed: nothing is promoted."""
    from battery_core.release import provenance

    folder = tmp_path_factory.mktemp("failing")
    tracking = prepared.settings.tracking.model_copy(update={"mlflow_uri": new_store(folder)})
    paths = prepared.settings.paths.model_copy(update={"artifacts": folder})
    (folder / "params.yaml").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith("BATTERY__")]:
            patch.delenv(name)
        patch.setenv("BATTERY_ROOT", str(folder))
        patch.setattr(
            provenance, "_git", lambda _root, what, *_: "c" * 40 if what == "rev-parse" else " M tasks/data.py"
        )
        yield prepared.settings.model_copy(update={"tracking": tracking, "paths": paths})


@pytest.fixture(scope="module")
def run(settings: Settings, tell: Callable[[Any], FlowRun]) -> Callable[..., FlowRun]:
    """Run the flow on these cells; extra settings win."""
    from flows.train import train

    def once(**given: Any) -> FlowRun:
        return tell(train(settings={**settings.model_dump(mode="json"), **given}, return_state=True))

    return once


def jobs_of(flow_run: FlowRun) -> dict[str, Any]:
    """The task run of each training job, by the name of its model."""
    return {task.name.split("-")[1]: task for task in flow_run.tasks if task.name.startswith("train ")}


def test_one_dead_job_does_not_take_the_others(run: Callable[..., FlowRun], settings: Settings) -> None:
    registry = ModelRegistry(settings.tracking.mlflow_uri, "soh-xjtu")
    dead = run(**{"models": ["mlp", "lgbm"], "trainer.learning_rate": 1e30, "jobs.concurrent": 1})
    assert dead.state.is_failed()
    assert isinstance(dead.result, TrainingError)
    assert "1 of 2 training jobs failed, the rest is released" in str(dead.result)
    assert "xjtu-mlp-" in str(dead.result)
    assert registry.version(1).tags["model"] == "lgbm"
    jobs = jobs_of(dead)
    assert jobs["lgbm"].state.is_completed()
    assert jobs["mlp"].state.is_failed()
    assert jobs["lgbm"].start_time >= jobs["mlp"].end_time  # one at a time, as the settings say
    assert jobs["mlp"].run_count == 1  # what no retry can heal is tried once
    assert not any("Traceback" in line for line in dead.logs)


@pytest.fixture
def one_kill() -> Iterator[list[int]]:
    """Kill the first training process that shows up, as the kernel does when memory is short."""
    from battery_core import jobs

    killed: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not killed and not done.wait(0.02):
            for process in list(jobs._RUNNING):
                os.killpg(process.pid, signal.SIGKILL)
                killed.append(process.pid)

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield killed
    done.set()
    watcher.join()


def test_a_killed_job_is_tried_again(run: Callable[..., FlowRun], one_kill: list[int]) -> None:
    survivor = run(**{"models": ["lgbm"], "seed": 4, "release.retrain_only_if_new": True})  # another seed is new
    assert len(one_kill) == 1
    assert survivor.state.name == "Completed", survivor.state
    assert jobs_of(survivor)["lgbm"].run_count == 2
    assert survivor.said("killed by SIGKILL")
