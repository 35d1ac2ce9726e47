"""What the flows share: their name, their settings, and jobs that train side by side."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeVar

from prefect import allow_failure, runtime
from prefect.futures import PrefectFuture

from battery_core.errors import TrainingError
from battery_core.jobs import JobSpec
from battery_core.settings import Settings, resolve
from flows.session import shorten_expected_errors
from tasks.training import train_model

_STEP_S = 0.5
Result = TypeVar("Result")


def run_name() -> str:
    """Source and start of the flow run, such as ``simulated-20260131-020000``."""
    given = runtime.flow_run.parameters
    source = given.get("source") or resolve(given.get("settings")).data.source
    return f"{source}-{runtime.flow_run.scheduled_start_time:%Y%m%d-%H%M%S}"


def begin(
    settings: dict[str, Any] | None, source: str | None = None, models: list[str] | None = None
) -> tuple[Settings, str]:
    """Settings and name of the flow run that has just begun; from here on a known error is one line in its log.

    What has a parameter of its own wins over ``settings``; what is empty is as in params.yaml.
    """
    shorten_expected_errors()
    own = {"data.source": source, "models": models}
    chosen = resolve({**(settings or {}), **{name: value for name, value in own.items() if value}})
    return chosen, str(runtime.flow_run.name)


def start(settings: Settings, specs: list[JobSpec]) -> list[PrefectFuture[dict[str, Any]]]:
    """A task for each job; only ``jobs.concurrent`` train at the same time, the others wait in line."""
    line: list[PrefectFuture[dict[str, Any]]] = []
    for spec in specs:
        ahead = line[-settings.jobs.concurrent :][:1] if len(line) >= settings.jobs.concurrent else []
        waits = [allow_failure(job) for job in ahead]
        line.append(train_model.submit(settings, spec, wait_for=waits, return_state=False))
    return line


def gather(training: list[PrefectFuture[dict[str, Any]]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Results of the jobs that ended well, and what the others said; one dead job never takes the rest.

    Raises:
        TrainingError: not one job ended well.
    """
    came = [ended(future).result(raise_on_failure=False) for future in training]
    failures = [str(result) for result in came if isinstance(result, BaseException)]
    if len(failures) == len(came):
        raise TrainingError("; ".join(failures))
    return [result for result in came if isinstance(result, dict)], failures


def ended(future: PrefectFuture[Result]) -> PrefectFuture[Result]:
    """Wait for it in short steps, so that Ctrl-C is heard.

    Polars, which pandera and MLflow load where it is installed, sets a signal handler after which a wait without end is
    taken up again instead of broken off (SA_RESTART).
    """
    while True:
        with suppress(TimeoutError):  # an error of the task itself is returned, not raised
            future.result(timeout=_STEP_S, raise_on_failure=False)
            return future
