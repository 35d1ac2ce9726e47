"""What a task tries again: only what may heal by itself."""

from __future__ import annotations

from typing import Any

import pytest

from battery_core.errors import BatteryError, DataChangingError, DataError, SettingsError


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
