"""What runs in a job's process in tests/test_jobs.py: a training that does what its spec says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from battery_core.errors import DataError
from battery_core.files import write_json
from battery_core.jobs import JobSpec, job_process


def train(spec: JobSpec) -> dict[str, Any]:
    do = spec.settings["do"]
    with (spec.folder / "calls").open("a") as calls:
        calls.write(f"{os.getpid()}\n")
    print(f"training: {do}", flush=True)
    if do == "bad data":
        raise DataError("cell 'A3': no column \"capacity\"")
    if do == "bug":
        raise ZeroDivisionError("division by zero")
    if do == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "killed once" and len((spec.folder / "calls").read_text().split()) == 1:
        (spec.folder / "result.json").write_text('{"value": 0.5, "key": "' + spec.key)  # as if it died while writing
        os.kill(os.getpid(), signal.SIGKILL)
    if do in ("leave a child", "sleep"):
        stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
        child = subprocess.Popen([sys.executable, "-S", "-c", stubborn], stdout=subprocess.DEVNULL)
        write_json(spec.folder / "pids.json", [os.getpid(), child.pid])
    if do == "sleep":
        time.sleep(60)
    return {"value": 0.5, "threads": os.environ["OMP_NUM_THREADS"], "not finite": float("nan")}


if __name__ == "__main__":
    raise SystemExit(job_process(Path(sys.argv[1]), train))
