"""Shared options of the tasks: retries for temporary errors, and the record of task runs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect import get_client, runtime
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from battery_core.errors import DataChangingError
from battery_core.jobs import JobKilled
from battery_core.tracking.base import TrackingError

RUN_IDS: set[UUID] = set()
"""Ids of the task runs of this process that have ended."""

_CAN_HEAL = (JobKilled, TimeoutError, TrackingError, DataChangingError)
_CANNOT_HEAL = (FileNotFoundError, PermissionError, NotADirectoryError, FileExistsError, IsADirectoryError)


def can_heal(_task: Any, _run: Any, state: Any) -> bool:
    """Return whether a retry may help: for I/O, locks, network and killed jobs, not for bad settings or bad data."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, _CAN_HEAL) or _is_busy_database(error):
        return True
    return isinstance(error, OSError) and not isinstance(error, _CANNOT_HEAL)


def _is_busy_database(error: Any) -> bool:
    text = str(error).lower()
    return "database is locked" in text or "is busy" in text


def tag_run(*tags: str) -> None:
    """Add tags to the flow run, so that runs of one source, commit or data version can be filtered."""
    run_id = UUID(runtime.flow_run.id)
    with get_client(sync_client=True) as client:
        present = client.read_flow_run(run_id).tags
        client.update_flow_run(run_id, tags=[*present, *(tag for tag in tags if tag not in present)])


def _remember(_task: Any, run: Any, _state: Any) -> None:
    RUN_IDS.add(run.id)


OPTIONS: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": can_heal,
    "cache_policy": NO_CACHE,  # our stages key their own skips on content
    "persist_result": False,
    "on_completion": [_remember],
    "on_failure": [_remember],
}
"""Options of every task: retry what can heal with backoff and jitter, fail at once on what cannot."""
