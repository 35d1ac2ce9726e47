"""Back to an earlier champion, and the line of champions: what people do to the registry by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from battery_core.errors import DataError
from battery_core.release.locking import one_at_a_time
from battery_core.release.model_registry import CHAMPION, ROLLBACK, ROLLED_BACK_TAG, ModelRegistry
from battery_core.settings import Settings
from battery_core.stages.registry import lock_file, open_registry, registered_name


def rollback(settings: Settings, reason: str, to: int | None = None, say: Callable[[str], None] = print) -> str:
    """Put the champion before this one back into service, or a version of choice; says what was done.

    The version that leaves is marked as withdrawn: a night that trains the very same model again does not promote it.

    Raises:
        DataError: nothing serves, there is no earlier champion, or the version asked for does not exist or serves.
    """
    with one_at_a_time(lock_file(settings), "rollback", say):
        registry = ModelRegistry(open_registry(settings), registered_name(settings))
        serving = registry.version_by_alias(CHAMPION)
        if serving is None:
            raise DataError(
                f"rollback: model '{registry.name}' has no champion - train first, there is nothing to undo"
            )
        target = registry.version(to) if to is not None else registry.before(serving)
        if target is None:
            raise DataError(
                f"rollback: version {serving.number} is the first champion of '{registry.name}', none served before it "
                "- name another version with --to"
            )
        if target.number == serving.number:
            raise DataError(f"rollback: version {target.number} of '{registry.name}' serves already - nothing to do")
        if ROLLED_BACK_TAG in target.tags:
            say(f"version {target.number} was withdrawn itself: {target.tags[ROLLED_BACK_TAG]}")
        registry.promote(target, reason, ROLLBACK)
        when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        registry.tag(serving, ROLLED_BACK_TAG, f"{when}: {reason}"[:3000])
    done = f"version {target.number} serves again, version {serving.number} is withdrawn: {reason}"
    return f"rollback: '{registry.name}' {done}"


def history(settings: Settings) -> Any:
    """The line of champions as a table for people, the newest last.

    Raises:
        DataError: nothing has served yet.
    """
    from rich.table import Table

    registry = ModelRegistry(open_registry(settings), registered_name(settings))
    promotion_events = registry.promotion_events()
    if not promotion_events:
        raise DataError(f"history: model '{registry.name}' has had no champion yet - train first")
    serving = registry.version_by_alias(CHAMPION)
    table = Table(title=f"champions of {registry.name}", title_justify="left")
    for name, justify in (
        ("in service since", "left"), ("version", "right"), ("model", "left"), ("error %", "right"),
        ("data", "left"), ("by", "left"), ("reason", "left"),
    ):  # fmt: skip
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for index, reign in enumerate(promotion_events):
        now = serving is not None and index == len(promotion_events) - 1 and reign.version == serving.number
        table.add_row(
            reign.when[:16].replace("T", " "),
            f"{reign.version}{' *' if now else ''}",
            reign.model,
            f"{float(reign.error):.2f}" if reign.error else "",
            reign.data_version[:12],
            reign.how,
            reign.reason,
            style="bold" if now else "",
        )
    table.caption = "* serves now; error: mean per-cell MAPE on the test cells of its own night"
    return table
