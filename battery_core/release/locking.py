"""One run at a time on one registry: an operating-system lock that ends with its process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from battery_core.files import read_json

_NOTIFY_EVERY_S = 30.0
_POLL_S = 0.25


@contextmanager
def hold_lock(file: Path, run_name: str, notify: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock while the block runs; a second run waits, and names the run that holds it.

    The lock is the operating system's (flock): that of a killed run is released at once.

    Args:
        file: the lock.
        run_name: name of this run, for those that wait.
        notify: called with a line while this run waits.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock, note = FileLock(file), file.with_suffix(".holder.json")
    _wait(lock, note, notify)
    try:
        content = {"run_name": run_name, "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        note.write_text(json.dumps(content))
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _wait(lock: FileLock, note: Path, notify: Callable[[str], None]) -> None:
    notified_at = -_NOTIFY_EVERY_S
    while True:
        try:
            lock.acquire(timeout=0)
            return
        except Timeout:
            if time.monotonic() - notified_at >= _NOTIFY_EVERY_S:
                notified_at = time.monotonic()
                holder = {"run_name": "another run", "pid": "?", "since": "?"} | (read_json(note) or {})
                notify(
                    f"waiting for '{holder['run_name']}' (process {holder['pid']}, since {holder['since']}), "
                    f"which holds {lock.lock_file}; this run goes on when it ends"
                )
            time.sleep(_POLL_S)
