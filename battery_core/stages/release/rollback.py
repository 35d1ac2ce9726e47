"""Roll back to an earlier champion, and list the champions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from battery_core.errors import DataError
from battery_core.release.locking import hold_lock
from battery_core.release.model_registry import ModelRegistry
from battery_core.release.wire_format import BY_ROLLBACK, CHAMPION, ROLLED_BACK_TAG
from battery_core.settings import Settings
from battery_core.stages.registry import lock_file, open_registry, registered_name


def rollback(settings: Settings, reason: str, to: int | None = None, notify: Callable[[str], None] = print) -> str:
    """Promote the champion before this one again, or another version; return what was done.

    The replaced version is marked as rolled back: a run that trains the very same model again does not promote it.

    Raises:
        DataError: there is no champion or no earlier one, or the version does not exist or is the champion already.
    """
    with hold_lock(lock_file(settings), "rollback", notify):
        registry = ModelRegistry(open_registry(settings), registered_name(settings))
        serving = registry.version_by_alias(CHAMPION)
        if serving is None:
            raise DataError(
                f"rollback: model '{registry.name}' has no champion - train first, there is nothing to undo"
            )
        target = registry.version(to) if to is not None else registry.previous_champion(serving)
        if target is None:
            raise DataError(
                f"rollback: version {serving.number} is the first champion of '{registry.name}': there is "
                "no earlier one - name another version with --to"
            )
        if target.number == serving.number:
            raise DataError(
                f"rollback: version {target.number} of '{registry.name}' is the champion already - nothing to do"
            )
        if ROLLED_BACK_TAG in target.tags:
            notify(f"version {target.number} was rolled back itself: {target.tags[ROLLED_BACK_TAG]}")
        registry.promote(target, reason, BY_ROLLBACK)
        when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        registry.tag(serving, ROLLED_BACK_TAG, f"{when}: {reason}"[:3000])
    done = f"version {target.number} is in production again, version {serving.number} is rolled back: {reason}"
    return f"rollback: '{registry.name}' {done}"


def history(settings: Settings) -> Any:
    """Return the promotions as a table, the newest last.

    Raises:
        DataError: there was no champion yet.
    """
    from rich.table import Table

    registry = ModelRegistry(open_registry(settings), registered_name(settings))
    events = registry.promotion_events()
    if not events:
        raise DataError(f"history: model '{registry.name}' has had no champion yet - train first")
    serving = registry.version_by_alias(CHAMPION)
    table = Table(title=f"champions of {registry.name}", title_justify="left")
    for name, justify in (
        ("promoted", "left"), ("version", "right"), ("model", "left"), ("error %", "right"),
        ("data", "left"), ("by", "left"), ("reason", "left"),
    ):  # fmt: skip
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for index, event in enumerate(events):
        is_champion = serving is not None and index == len(events) - 1 and event.version == serving.number
        table.add_row(
            event.promoted_at[:16].replace("T", " "),
            f"{event.version}{' *' if is_champion else ''}",
            event.model,
            f"{float(event.error):.2f}" if event.error else "",
            event.data_version[:12],
            event.trigger,
            event.reason,
            style="bold" if is_champion else "",
        )
    table.caption = "* in production; error: mean per-cell MAPE on the test cells of its own retraining run"
    return table
