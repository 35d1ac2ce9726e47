"""A long reading says how far it is; a short one is silent."""

import pytest

from battery_core.data.ingest import progress
from battery_core.data.ingest.progress import Progress


def test_without_a_terminal_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 6))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    lines: list[str] = []
    with Progress(4, "cells", lines.append) as told:
        for _ in range(4):
            told.step()
    assert lines == ["cells: 2 of 4", "cells: 4 of 4"]


def test_what_is_quick_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    with Progress(2, "cells", lines.append) as told:
        told.step()
        told.step()
    assert (lines, capsys.readouterr().err) == ([], "")
