"""One run at a time on one registry: an operating-system lock that dies with its process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from battery_core.files import read_json

_SAY_EVERY_S = 30.0
_POLL_S = 0.25


@contextmanager
def one_at_a_time(file: Path, who: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock while the block runs; a second run waits and says for whom.

    The lock is the operating system's (flock): a killed run gives it back at once.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock, note = FileLock(file), file.with_suffix(".holder.json")
    _wait(lock, note, say)
    try:
        note.write_text(json.dumps({"who": who, "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}))
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _wait(lock: FileLock, note: Path, say: Callable[[str], None]) -> None:
    said_at = -_SAY_EVERY_S
    while True:
        try:
            lock.acquire(timeout=0)
            return
        except Timeout:
            if time.monotonic() - said_at >= _SAY_EVERY_S:
                said_at = time.monotonic()
                holder = read_json(note) or {"who": "another run", "pid": "?", "since": "?"}
                say(
                    f"waiting for '{holder['who']}' (process {holder['pid']}, since {holder['since']}), "
                    f"which holds {lock.lock_file}; this run goes on when it ends"
                )
            time.sleep(_POLL_S)
