"""``python flows/train.py``: read the options, run the flow, print its result and where to look next."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from battery_core.cli.options import (
    EXIT_FAILED,
    EXIT_WRONG_SETTING,
    SettingsHelp,
    describe_os_error,
    fail,
    parse_overrides,
)
from battery_core.errors import BatteryError, SettingsError
from battery_core.files import read_json
from battery_core.models.registry import settings_sections
from battery_core.settings import Settings, resolve
from flows.session import prepare, session, wait_for_history

DESCRIPTION = "Retrain battery State-of-Health models on the newest data and promote the better one."

_FITTING = ("data", "split", "features", *settings_sections(), "trainer", "loss", "jobs")
_SHOWN = {
    "flows/train.py": SettingsHelp(
        (
            "models", "seed", "data.source", "data.reference_root", "trainer.epochs", "loss.name",
            "release.min_improvement", "release.retrain_only_if_new",
        ),
        (*_FITTING, "ensemble", "uncertainty", "release", "tracking", "paths"),
    ),
    "flows/score.py": SettingsHelp(
        ("data.source", "data.reference_root", "score.newest", "score.end_of_life", "score.near"),
        ("data", "score", "release", "tracking", "paths"),
    ),
    "flows/cross_validate.py": SettingsHelp(
        ("models", "seed", "data.source", "data.reference_root", "cross_validation.folds", "cross_validation.seeds",
         "cross_validation.with_test_cells", "trainer.epochs", "jobs.concurrent"),
        (*_FITTING, "ensemble", "cross_validation", "paths"),
    ),
}  # fmt: skip
"""Settings in the help of each flow."""


def read_command_line(
    argv: Sequence[str] | None = None, program: str = "flows/train.py", description: str = DESCRIPTION
) -> dict[str, Any]:
    """Return the settings on the command line, validated; a wrong one ends the program with one line and code 2."""
    shown = _SHOWN.get(program, _SHOWN["flows/train.py"])
    try:
        overrides = parse_overrides(sys.argv[1:] if argv is None else argv, program, description, shown)
        check_writable(resolve(overrides))
    except SettingsError as err:
        fail(err, EXIT_WRONG_SETTING)
    prepare()
    return overrides


def check_writable(settings: Settings) -> None:
    """Check before the work that results can be written.

    Raises:
        SettingsError: a folder cannot be written to.
    """
    for name in ("artifacts", "data", "splits"):
        folder = settings.folder(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as probe:  # a unique name: another run may check at once
                probe.write(b"x")
        except OSError as err:
            raise SettingsError(
                f"paths.{name}: expected a folder that can be written to, got '{folder}' ({err.strerror}) - "
                f"make it writable or choose another with --paths.{name}"
            ) from None


def run_here(
    flow: Any, overrides: dict[str, Any], print_result: Callable[[Any, Settings, float], None] | None = None
) -> None:
    """Run a flow, wait for its complete history and print its result; exit with 0 only if it succeeded."""
    from battery_core.stages.data.data_changes import DataChanges

    started = time.monotonic()
    try:
        outcome = _run_recorded(flow, overrides)
    except SettingsError as err:
        outcome = err
    except KeyboardInterrupt:
        fail("interrupted - run it again: what is finished is not done twice", 128 + signal.SIGINT)
    if isinstance(outcome, BaseException):
        _exit_with_error(outcome)
    if isinstance(outcome, DataChanges):
        print(f"{outcome.message}: not trained; {time.monotonic() - started:.0f} s")
        return
    (print_result or _print_success)(outcome, resolve(overrides), time.monotonic() - started)


def _run_recorded(flow: Any, overrides: dict[str, Any]) -> Any:
    """Return the result of the run, or its error; it is printed after the temporary server has ended."""
    from tasks.common import RUN_IDS

    with session():
        state = flow(settings=overrides, return_state=True)
        lost = wait_for_history(state.state_details.flow_run_id, RUN_IDS)
        if lost:
            print(f"warning: {lost} task runs are not in the history: the server was too slow", file=sys.stderr)
        return state.result(raise_on_failure=False)


def _exit_with_error(error: BaseException) -> None:
    if isinstance(error, OSError):
        fail(describe_os_error(error), EXIT_FAILED)
    if not isinstance(error, BatteryError):
        raise error
    fail(error, EXIT_WRONG_SETTING if isinstance(error, SettingsError) else EXIT_FAILED)


def _print_success(outcome: Any, settings: Settings, seconds: float) -> None:
    from battery_core.reporting.html.page import PAGE_FILE
    from battery_core.reporting.tables.report import condition_table, model_table
    from battery_core.reporting.tables.rows import print_table
    from battery_core.stages.registry import tracking_uri

    folder = outcome.report
    report = read_json(Path(folder) / "report.json")
    print_table(f"Test cells of {report['label']}: {len(report['split']['test_cells'])} cells", model_table(report))
    print_table("MAPE per cell by condition", condition_table(report))
    if report["probe_verdict"]:
        print(f"note: {report['probe_verdict']}\n")
    champion = f"version {outcome.champion}" if outcome.champion else "none yet"
    role = "champion" if outcome.promoted else "challenger"
    print(f"{outcome.name} version {outcome.version} is {role}: {outcome.reason}")
    print(f"champion: {champion}; report: {folder}; {seconds:.0f} s\n\nwhere to look next:")
    artifacts = settings.folder("artifacts")
    for command, what in (
        (str(Path(folder) / PAGE_FILE), "model card, tables and figures: open it in a browser"),
        ("prefect server start", "run history, http://127.0.0.1:4200"),
        (
            f"mlflow server --backend-store-uri {quote(tracking_uri(settings))}",
            "runs and models, http://127.0.0.1:5000",
        ),
        (f"tensorboard --logdir {quote(str(artifacts / 'runs'))}", "learning curves, http://127.0.0.1:6006"),
    ):
        print(f"  {command:<40}  # {what}")
