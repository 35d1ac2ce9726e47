"""One Prefect server for all tests of flows, with a home of its own, and what it tells of a run that has ended."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def orchestrator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect server that ends with the tests; the developer's history stays as it is."""
    from prefect.settings import PREFECT_HOME, PREFECT_SERVER_ANALYTICS_ENABLED, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    home = tmp_path_factory.mktemp("prefect")
    with (
        temporary_settings({PREFECT_HOME: home, PREFECT_SERVER_ANALYTICS_ENABLED: False}),
        prefect_test_harness(server_startup_timeout=120),
    ):
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project folder of its own: the settings file as shipped, and no data yet."""
    root = tmp_path_factory.mktemp("project")
    shutil.copy(CHECKOUT / "params.yaml", root)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith("BATTERY__")]:
            patch.delenv(name)
        patch.setenv("BATTERY_ROOT", str(root))
        yield root


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


@pytest.fixture(scope="session")
def tell(orchestrator: None) -> Callable[[Any], FlowRun]:
    """Everything the server knows of a flow run, from its state."""
    return _tell


def _tell(state: Any) -> FlowRun:
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
