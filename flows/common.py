"""Shared steps of the flows: run name, settings, and concurrent training jobs."""

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
    """Return source and start of the flow run, such as ``simulated-20260131-020000``."""
    parameters = runtime.flow_run.parameters
    source = parameters.get("source") or resolve(parameters.get("settings")).data.source
    return f"{source}-{runtime.flow_run.scheduled_start_time:%Y%m%d-%H%M%S}"


def begin(
    settings: dict[str, Any] | None, source: str | None = None, models: list[str] | None = None
) -> tuple[Settings, str]:
    """Return settings and name of the new flow run; shorten expected errors in its log to one line.

    ``source`` and ``models`` override ``settings``; an empty one is as in params.yaml.
    """
    shorten_expected_errors()
    overrides = {"data.source": source, "models": models}
    chosen = resolve({**(settings or {}), **{name: value for name, value in overrides.items() if value}})
    return chosen, str(runtime.flow_run.name)


def start(settings: Settings, specs: list[JobSpec]) -> list[PrefectFuture[dict[str, Any]]]:
    """Submit a task for each job; at most ``jobs.concurrent`` train at the same time."""
    line: list[PrefectFuture[dict[str, Any]]] = []
    for spec in specs:
        ahead = line[-settings.jobs.concurrent :][:1] if len(line) >= settings.jobs.concurrent else []
        waits = [allow_failure(job) for job in ahead]
        line.append(train_model.submit(settings, spec, wait_for=waits, return_state=False))
    return line


def gather(training: list[PrefectFuture[dict[str, Any]]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the results of the successful jobs and the errors of the failed ones.

    Raises:
        TrainingError: every job failed.
    """
    outcomes = [ended(future).result(raise_on_failure=False) for future in training]
    failures = [str(result) for result in outcomes if isinstance(result, BaseException)]
    if len(failures) == len(outcomes):
        raise TrainingError("; ".join(failures))
    return [result for result in outcomes if isinstance(result, dict)], failures


def ended(future: PrefectFuture[Result]) -> PrefectFuture[Result]:
    """Wait for a future in short steps, so that Ctrl-C ends the wait.

    Polars, which pandera and MLflow load if it is installed, sets a signal handler with SA_RESTART: an endless wait
    then restarts instead of ending.
    """
    while True:
        with suppress(TimeoutError):  # an error of the task itself is returned, not raised
            future.result(timeout=_STEP_S, raise_on_failure=False)
            return future
