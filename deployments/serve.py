"""``python -m deployments.serve``: run the nightly schedule on a laptop, in one process and without a worker.

It is registered as ``train/laptop``, so that it never rewrites ``train/nightly``, which belongs to the worker.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from battery_core.cli.options import run_and_exit
from battery_core.errors import SettingsError
from deployments.plan import NIGHTLY, nightly
from flows.session import healthy, local_server, prepare, record_at, running_server

LAPTOP = "laptop"
_START_WAIT_S = 180.0


def main() -> int:
    """Run the schedule until interrupted; return the exit code."""
    prepare()
    plan = nightly()
    with _server():
        from prefect.schedules import Cron

        from flows.train import train

        _refuse_second_schedule()
        schedules = [Cron(entry["cron"], timezone=entry["timezone"]) for entry in plan["schedules"]]
        train.serve(
            name=LAPTOP,
            schedules=schedules,
            parameters=plan["parameters"],
            description=plan["description"],
            tags=plan["tags"],
            limit=1,
        )
    return 0


@contextmanager
def _server() -> Iterator[None]:
    """Use the server that answers, or start one that ends with this process."""
    url = running_server()
    if url:
        record_at(url)
        yield
        return
    local = local_server()
    print(f"no Prefect server is running: starting one at {local.removesuffix('/api')}", flush=True)
    server = subprocess.Popen([sys.executable, "-m", "prefect", "server", "start"])
    try:
        end = time.monotonic() + _START_WAIT_S
        while not healthy(local):
            if server.poll() is not None or time.monotonic() > end:
                raise SettingsError("the Prefect server did not start: see its messages above; is its port taken?")
            time.sleep(0.5)
        record_at(local)
        yield
    finally:
        server.terminate()
        server.wait(timeout=30)


def _refuse_second_schedule() -> None:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(f"train/{NIGHTLY}")
        except ObjectNotFound:
            return
    if any(schedule.active for schedule in deployment.schedules):
        raise SettingsError(
            f"train/{NIGHTLY} has an active schedule on this server: two schedules would train twice - "
            f"run a worker for it, or delete it with: prefect deployment delete train/{NIGHTLY}"
        )


if __name__ == "__main__":
    run_and_exit(main)
