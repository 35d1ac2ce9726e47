"""Progress of a long read: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from tqdm import tqdm

_EVERY_S = 10.0


class Progress:
    """Count steps; show nothing for reads of a few seconds.

    Args:
        total: number of steps.
        label: what is done, for people.
        log: takes a line where there is no terminal.
    """

    def __init__(self, total: int, label: str, log: Callable[[str], None]) -> None:
        self._total, self._label, self._log = total, label, log
        self._done, self._last = 0, time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        self._bar = tqdm(total=self._total, desc=self._label, disable=None, leave=False, delay=2.0, unit="cell")
        return self

    def step(self) -> None:
        """Count one finished step."""
        self._done += 1
        self._bar.update()
        if self._bar.disable and time.monotonic() - self._last > _EVERY_S:
            self._last = time.monotonic()
            self._log(f"{self._label}: {self._done} of {self._total}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
