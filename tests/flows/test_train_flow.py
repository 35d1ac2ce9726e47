"""The flow ``train`` on the simulated cells: what it leaves, what it skips, and what happens when a job dies."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from battery_core.errors import BatteryError, DataChangingError, DataError, SettingsError, TrainingError
from battery_core.files import read_json

QUICK: dict[str, Any] = {"models": ["lgbm", "mlp"], "trainer.epochs": 4, "lgbm.n_estimators": 40}


@dataclass(frozen=True)
class FlowRun:
    """A finished run as the server tells of it."""

    state: Any
    name: str
    tags: list[str]
    tasks: list[Any]
    artifacts: dict[str, Any]
    logs: list[str]

    @property
    def result(self) -> Any:
        return self.state.result(raise_on_failure=False)

    def said(self, *words: str) -> bool:
        return any(all(word in line for word in words) for line in self.logs)


Run = Callable[..., FlowRun]


@pytest.fixture(scope="module")
def run(orchestrator: None, project: Path) -> Run:
    """Run the flow with quick settings; extra ones win."""
    from flows.train import train

    def once(**given: Any) -> FlowRun:
        state = train(settings={**QUICK, **given}, return_state=True)
        return tell(state)

    return once


def tell(state: Any) -> FlowRun:
    """Everything the server knows of a flow run, when its history is whole."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        FlowRunFilter,
        FlowRunFilterId,
        LogFilter,
        LogFilterFlowRunId,
    )

    from flows.session import wait_for_history
    from tasks.common import RUN_IDS

    flow_run = state.state_details.flow_run_id
    of_this_run = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
    with get_client(sync_client=True) as client:
        known = {task.id for task in client.read_task_runs(flow_run_filter=of_this_run)}
        assert wait_for_history(flow_run, RUN_IDS & known) == 0
        pages = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run]))
        )
        return FlowRun(
            state=state,
            name=client.read_flow_run(flow_run).name,
            tags=client.read_flow_run(flow_run).tags,
            tasks=client.read_task_runs(flow_run_filter=of_this_run),
            artifacts={page.key: page for page in pages},
            logs=flushed_logs(client, LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run]))),
        )


def flushed_logs(client: Any, log_filter: Any) -> list[str]:
    """Log lines reach the server from a thread of their own: wait until the last of the flow is there."""
    from prefect.logging.handlers import APILogHandler

    APILogHandler().flush()
    end = time.monotonic() + 10
    while True:
        lines = [log.message for log in client.read_logs(log_filter=log_filter, limit=200)]
        if any("Finished in state" in line for line in lines) or time.monotonic() > end:
            return lines
        time.sleep(0.2)


@pytest.fixture(scope="module")
def uncommitted(project: Path) -> Iterator[None]:
    """A checkout in which someone has changed code since the last commit."""
    from battery_core.release import provenance

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        subprocess.run(["git", "-C", str(project), *identity, *arguments], check=True, capture_output=True)

    code = project / "tasks" / "data.py"
    code.parent.mkdir()
    code.write_text("# as committed\n")
    git("init", "--quiet")
    git("add", "tasks", "params.yaml")
    git("commit", "--quiet", "-m", "state")
    code.write_text("# changed since\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "CHECKOUT", project)
        yield


@pytest.fixture(scope="module")
def first(run: Run, uncommitted: None) -> FlowRun:
    return run()


@pytest.fixture(scope="module")
def second(run: Run, first: FlowRun) -> FlowRun:
    return run(**{"release.allow_dirty": True})


def versions(project: Path) -> list[Any]:
    """Versions of the model in the registry of the project, oldest first."""
    from battery_core.release.model_registry import mlflow_client

    client = mlflow_client(f"sqlite:///{project / 'artifacts' / 'mlflow.db'}")
    return sorted(client.search_model_versions("name='soh-simulated'"), key=lambda version: int(version.version))


def test_a_run_is_named_after_its_source_and_completes(first: FlowRun) -> None:
    assert first.state.is_completed(), first.state
    assert first.name.startswith("simulated-20")
    names = Counter(task.name.split()[0] for task in first.tasks)
    once = ("open", "fetch", "normalize", "split", "keep", "news", "evaluate", "release")
    assert names == {"train": 2, **dict.fromkeys(once, 1)}
    assert {task.state.type.value for task in first.tasks} == {"COMPLETED"}


def test_its_report_holds_models_beside_baselines(first: FlowRun, project: Path) -> None:
    report = read_json(first.result.report / "report.json")
    assert first.result.report.parent == project / "artifacts" / "reports"
    assert first.result.report.name.startswith(f"{first.name}-")
    assert {model["model"] for model in report["models"]} == {"lgbm", "mlp"}
    assert {"train_mean", "linear_throughput", "persistence"} <= set(report["baselines"])
    assert report["simulated"] is True
    assert report["leak_probe"]
    pictures = ("parity.png", "fade.png", "data-fade.png", "data-drift.png")
    assert all((first.result.report / name).stat().st_size > 5000 for name in pictures)
    assert report["drift"][0]["ks"] >= report["drift"][-1]["ks"]


def test_its_model_version_says_where_it_comes_from(first: FlowRun, project: Path) -> None:
    from battery_core.data.versioning import content_version

    version = versions(project)[0]
    head = subprocess.run(["git", "-C", str(project), "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    assert version.tags["data_version"] == content_version(project / "data" / "raw" / "simulated")
    assert version.tags["git_commit"] == head.strip()
    assert version.tags["git_dirty"] == "True"
    assert version.tags["source"] == "simulated"
    assert version.tags["simulated"] == "True"
    assert version.tags["flow_run"] == first.name


def test_its_run_page_shows_tables_pictures_and_the_decision(first: FlowRun) -> None:
    kinds = {key: page.type for key, page in first.artifacts.items()}
    assert kinds == {
        "models-simulated": "table",
        "conditions-simulated": "table",
        "parity-simulated": "image",
        "fade-simulated": "image",
        "data-simulated": "markdown",
        **{f"data-{name}-simulated": "image" for name in ("fade", "spacing", "drift", "quarantine")},
        "decision-simulated": "markdown",
        "news-simulated": "markdown",
        "report-simulated": "markdown",
        "quarantine-simulated": "markdown",
    }
    assert first.artifacts["parity-simulated"].data.startswith("data:image/png;base64,")
    assert first.result.mlflow_run in first.artifacts["decision-simulated"].data
    assert "leak_probe" in first.artifacts["models-simulated"].data


def test_its_tags_find_runs_of_a_source_a_commit_and_a_data_version(first: FlowRun, project: Path) -> None:
    version = versions(project)[0]
    commit, data = version.tags["git_commit"][:10], version.tags["data_version"][:12]
    assert set(first.tags) >= {"source:simulated", f"commit:{commit}-dirty", f"data:{data}"}


def test_uncommitted_code_is_registered_but_does_not_serve(first: FlowRun) -> None:
    assert first.result.promoted is False
    assert "not committed" in first.result.reason or "uncommitted" in first.result.reason
    assert first.result.champion is None
    assert first.said("uncommitted changes in tasks/data.py")


def test_it_serves_when_that_is_allowed(second: FlowRun) -> None:
    assert second.result.promoted is True
    assert second.result.champion == 2


def test_a_second_run_skips_what_stands_and_says_so(second: FlowRun, project: Path) -> None:
    assert second.state.is_completed(), second.state
    assert second.said("fetch:", "skipped")
    assert second.said("normalize:", "raw data unchanged, skipped")
    assert second.said("split:", "unchanged, skipped")
    assert len([line for line in second.logs if "not trained again" in line]) == 2
    assert [int(version.version) for version in versions(project)][:2] == [1, 2]
    assert len(second.tasks) == 10  # all of them, although nothing was left to do


def test_its_data_can_be_restored_and_what_is_new_is_in_its_report(
    first: FlowRun, second: FlowRun, project: Path
) -> None:
    from battery_core.data.store import VersionStore

    tags = versions(project)[1].tags
    store = VersionStore(project)
    assert [store.missing(tags[part]) for part in ("data_version", "tables_md5", "split_md5")] == [[], [], []]
    assert tags["split_file"] == "simulated.json"
    report = read_json(first.result.report / "report.json")
    assert len(report["news"]["changes"]["new_cells"]) == 36
    report = read_json(second.result.report / "report.json")
    assert report["news"]["since"] == "models:/soh-simulated/1"
    assert report["news"]["changes"]["new_cells"] == []
    assert second.said("news:", "the check-ups are the same")


def test_with_nothing_new_it_is_not_trained(run: Run, second: FlowRun, project: Path) -> None:
    before = len(versions(project))
    only = {"release.allow_dirty": True, "release.retrain_only_if_new": True}
    idle = run(**only)
    assert idle.state.is_completed(), idle.state
    assert idle.state.name == "NothingNew"
    assert "nothing new since soh-simulated version 2" in idle.state.message
    assert idle.state.message.endswith("not trained")
    assert "nothing-new" in idle.tags
    assert "nothing new" in idle.artifacts["news-simulated"].data
    assert not [task for task in idle.tasks if task.name.split()[0] in ("train", "evaluate", "release")]
    assert len(versions(project)) == before
    other = run(**only, seed=7, models=["lgbm"])  # another setting is a reason to train
    assert len(versions(project)) == before + 1
    assert other.state.name == "Completed"


def test_one_dead_job_does_not_take_the_others(run: Run, second: FlowRun, project: Path) -> None:
    before = len(versions(project))
    dead = run(**{"models": ["mlp", "lgbm"], "trainer.learning_rate": 1e30, "seed": 3, "jobs.concurrent": 1})
    assert dead.state.is_failed()
    assert isinstance(dead.result, TrainingError)
    assert "1 of 2 training jobs failed, the rest is released" in str(dead.result)
    assert "simulated-mlp-" in str(dead.result)
    assert len(versions(project)) == before + 1
    assert versions(project)[-1].tags["model"] == "lgbm"
    states = {task.name.split("-")[1]: task for task in dead.tasks if task.name.startswith("train ")}
    assert states["lgbm"].state.is_completed()
    assert states["mlp"].state.is_failed()
    assert states["lgbm"].start_time >= states["mlp"].end_time  # one at a time, as the settings say
    assert states["mlp"].run_count == 1  # what no retry can heal is tried once
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


def test_a_killed_job_is_tried_again(run: Run, second: FlowRun, one_kill: list[int]) -> None:
    survivor = run(models=["lgbm"], seed=4)
    assert len(one_kill) == 1
    assert survivor.state.is_completed(), survivor.state
    (job,) = [task for task in survivor.tasks if task.name.startswith("train ")]
    assert job.run_count == 2
    assert survivor.said("killed by SIGKILL")


@pytest.mark.parametrize(
    ("error", "healed"),
    [
        ("killed", True),
        (OSError("input/output error"), True),
        (ConnectionResetError("reset by peer"), True),
        (TimeoutError("no answer"), True),
        (RuntimeError("(sqlite3.OperationalError) database is locked"), True),
        (FileNotFoundError("no such folder"), False),
        (PermissionError("read-only"), False),
        (DataChangingError("it is being written"), True),
        (BatteryError("mend it"), False),
        (SettingsError("a wrong name"), False),
        (DataError("a wrong column"), False),
        (ValueError("a wrong value"), False),
    ],
    ids=repr,
)
def test_only_what_can_heal_is_tried_again(orchestrator: None, error: Any, healed: bool) -> None:
    from prefect.states import Failed

    from battery_core.jobs import JobKilled
    from tasks.common import can_heal

    raised = JobKilled("killed by SIGKILL") if error == "killed" else error
    assert can_heal(None, None, Failed(data=raised)) is healed


@pytest.mark.parametrize(("error", "tries"), [(OSError("input/output error"), 4), (DataError("a wrong column"), 1)])
def test_tries_of_a_task_with_our_options(orchestrator: None, error: Exception, tries: int) -> None:
    from prefect import flow, task

    from tasks.common import OPTIONS

    tried: list[int] = []

    @task(**{**OPTIONS, "retry_delay_seconds": 0})
    def fails() -> None:
        tried.append(1)
        raise error

    @flow
    def small() -> None:
        fails()

    state = small(return_state=True)
    assert state.is_failed()
    assert len(tried) == tries
