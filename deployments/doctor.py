"""``python -m deployments.doctor``: check server, worker, schedule, stuck runs and the last completed run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from battery_core.cli.options import run_and_exit
from battery_core.files import read_json
from battery_core.settings import resolve
from battery_core.stages.data.snapshot import COMMAND, unsent
from battery_core.stages.registry import lock_file
from deployments.plan import NIGHTLY, nightly
from flows.session import healthy, prepare, wanted_server

_STUCK_AFTER = timedelta(hours=6)


@dataclass(frozen=True)
class Check:
    """One health check: whether it is ok, what was observed, and which action fixes it."""

    name: str
    is_ok: bool
    observed: str
    action: str = ""


def main() -> int:
    """Print every check; return 0 when all are ok."""
    prepare()
    checks = examine()
    for check in checks:
        print(f"{'ok  ' if check.is_ok else 'LOOK'}  {check.name:<18} {check.observed}")
        if not check.is_ok:
            print(f"      {'':<18} -> {check.action}")
    return 0 if all(check.is_ok for check in checks) else 1


def examine() -> list[Check]:
    """Return all checks; without a server only those that need none."""
    url, _ = wanted_server()
    if not healthy(url):
        return [Check("server", False, f"none answers at {url}", "prefect server start"), _data_remote(), _lock()]
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return [Check("server", True, url), *(check(client) for check in _SERVER_CHECKS), _data_remote(), _lock()]


def _worker(client: Any) -> Check:
    from prefect.exceptions import ObjectNotFound

    pool = nightly()["work_pool"]["name"]
    action = f"prefect worker start --pool {pool}"
    try:
        status = client.read_work_pool(pool).status
    except ObjectNotFound:
        return Check("worker", False, f"no work pool '{pool}'", f"prefect work-pool create {pool} --type process")
    online = status is not None and status.value == "READY"
    return Check("worker", online, f"pool '{pool}' is {status.value if status else 'unknown'}", action)


def _schedule(client: Any) -> Check:
    from prefect.exceptions import ObjectNotFound

    try:
        deployment = client.read_deployment_by_name(f"train/{NIGHTLY}")
    except ObjectNotFound:
        return Check("schedule", False, f"no deployment train/{NIGHTLY}", "prefect deploy --all")
    if deployment.paused or not any(schedule.active for schedule in deployment.schedules):
        return Check("schedule", False, "paused", f"prefect deployment schedule resume train/{NIGHTLY}")
    next_runs = _runs(client, ["SCHEDULED"], newest_first=False)
    if not next_runs:
        return Check("schedule", False, "active, but no run is scheduled", "restart the server: its scheduler is stuck")
    return Check("schedule", True, f"next run {next_runs[0].expected_start_time:%Y-%m-%d %H:%M %Z}")


def _stuck(client: Any) -> Check:
    limit = datetime.now(UTC) - _STUCK_AFTER
    stuck = [run for run in _runs(client, ["RUNNING"]) if run.start_time and run.start_time < limit]
    names = ", ".join(run.name for run in stuck)
    action = "if its process is gone: prefect flow-run delete ID; the lock is free already"
    return Check("stuck runs", not stuck, names or "none", action)


def _last_good(client: Any) -> Check:
    done = _runs(client, ["COMPLETED"])
    if not done:
        return Check("last good run", False, "no completed run yet", f"prefect deployment run train/{NIGHTLY} --watch")
    ended = done[0].end_time
    recent = datetime.now(UTC) - ended < timedelta(hours=36)
    return Check("last good run", recent, f"{done[0].name}, {ended:%Y-%m-%d %H:%M %Z}", "see the failed runs in the UI")


def _runs(client: Any, states: list[str], newest_first: bool = True) -> list[Any]:
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterState
    from prefect.client.schemas.filters import FlowRunFilterStateType as StateType
    from prefect.client.schemas.objects import StateType as Kind
    from prefect.client.schemas.sorting import FlowRunSort

    order = FlowRunSort.EXPECTED_START_TIME_DESC if newest_first else FlowRunSort.EXPECTED_START_TIME_ASC
    wanted = FlowRunFilter(state=FlowRunFilterState(type=StateType(any_=[Kind(state) for state in states])))
    flow = FlowFilter(name=FlowFilterName(any_=["train"]))
    return list(client.read_flow_runs(flow_filter=flow, flow_run_filter=wanted, sort=order, limit=20))


def _data_remote() -> Check:
    settings = resolve()
    place = settings.data.remote
    if not place:
        return Check("data remote", True, "none is set: data versions are on this machine only")
    waiting = len(unsent(settings))
    observed = f"'{place}': {waiting} version(s) not there yet" if waiting else f"'{place}' has every version"
    return Check("data remote", not waiting, observed, f"{COMMAND}; it copies them, or reports why not")


def _lock() -> Check:
    note = read_json(lock_file(resolve()).with_suffix(".holder.json"))
    return Check("lock", True, f"held by {note['who']} since {note['since']}" if note else "free")


_SERVER_CHECKS: list[Callable[[Any], Check]] = [_worker, _schedule, _stuck, _last_good]


if __name__ == "__main__":
    run_and_exit(main)
