"""``python -m battery_core STAGE [--section.key value]``: the door that DVC and people without an orchestrator use."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from battery_core.cli.commands import PROG, Entry, Given, Own, read
from battery_core.cli.options import guarded
from battery_core.deprecated_names import current_command
from battery_core.errors import SettingsError, unknown_name


def _lines(lines: Iterable[str]) -> int:
    for line in lines:
        print(line, flush=True)
    return 0


def _stage(given: Given) -> int:
    settings = given.settings()
    from battery_core.stages.run_stage import run_stage

    return _lines(run_stage(given.entry, settings))


def _train_job(given: Given) -> int:
    from battery_core.jobs import job_process
    from battery_core.stages.training.train import train

    return job_process(given.own.spec, train)


def _history(given: Given) -> int:
    settings = given.settings()
    from rich.console import Console

    from battery_core.stages.release.rollback import history

    Console(width=None if sys.stdout.isatty() else 160).print(history(settings))
    return 0


def _rollback(given: Given) -> int:
    settings = given.settings()
    from battery_core.stages.release.rollback import rollback

    return _lines([rollback(settings, given.own.reason or "no reason given", given.own.to)])


def _checkout(given: Given) -> int:
    settings = given.settings()
    from battery_core.stages.data.restore import checkout

    return _lines(checkout(settings, given.own.model_version, given.own.to))


def _leaderboard(given: Given) -> int:
    settings = given.settings()
    from battery_core.stages.evaluation.leaderboard import on_the_terminal

    names = [name.strip() for name in given.own.boards.split(",") if name.strip()]
    return on_the_terminal(settings, names, given.own.page)


def _simulate(given: Given) -> int:
    from battery_core.data.simulation import simulate

    def progress(done: int, total: int, cell: str) -> None:
        print(f"simulate: {done} of {total} cells: {cell}", flush=True)

    own = given.own
    count = simulate(own.folder, seed=own.seed, workers=own.workers, progress=progress)
    return _lines([f"simulate: {count} cells in {own.folder}"])


def _explain(given: Given) -> int:
    settings, own = given.settings(), given.own
    from battery_core.stages.evaluation.explain_run import explain_run

    cells = tuple(filter(None, own.cells.split(",")))
    return _lines(explain_run(settings, own.run_or_version, cells, own.rows, own.to))


def _inspect(given: Given) -> int:
    named = {"data.cycler.folder": given.own.folder} if given.own.folder else {}
    settings = given.settings({"data.source": "cycler_folder", **named})
    from battery_core.stages.data.inspect import inspect
    from battery_core.stages.data.inspect_report import show

    inspection = inspect(settings)
    show(inspection, settings.data.cycler.folder or Path())
    return 0 if inspection.is_ready else 1


ENTRIES = {
    "inspect": Entry(
        "show what a folder of your own cycler data is understood to be, before anything is trained",
        _inspect,
        (Own("[FOLDER]", "folder of your cycler exports (default: data.cycler.folder)"),),
    ),
    "fetch": Entry("bring the raw files of the source", _stage),
    "normalize": Entry("raw files to checked tables", _stage),
    "split": Entry("cells into training, validation and test", _stage),
    "snapshot": Entry(
        "put the data as they are now into the version store, and send to the remote what it has not", _stage
    ),
    "restore": Entry(
        "restore the data a model version was trained on",
        _checkout,
        (
            Own("MODEL_VERSION", "number, alias such as champion, or NAME/NUMBER"),
            Own("--to", "restore below this folder; the project's data stay as they are", Path),
        ),
    ),
    "train": Entry("train every model the settings name", _stage),
    "evaluate": Entry("models and baselines on the test cells", _stage),
    "release": Entry("register the challenger and promote it if it wins", _stage),
    "explain": Entry(
        "what a finished run or a model version looks at, in full: figures and a table of values",
        _explain,
        (
            Own("RUN_OR_VERSION", "folder of artifacts/reports or artifacts/runs; or number, alias, NAME/NUMBER"),
            Own("--cells", "cells, separated by commas (default: the worst, median and best it never saw)", default=""),
            Own("--rows", "check-ups explained, evenly over the cells (default: 200)", int, 200),
            Own("--to", "folder to write into (default: artifacts/explanations/RUN_OR_VERSION)", Path),
        ),
    ),
    "history": Entry("who has served, since when and why", _history),
    "rollback": Entry(
        "put the champion before this one back into service",
        _rollback,
        (
            Own("--to", "version to put into service (default: the champion before this one)", int),
            Own("--reason", "why, for the people who read the history", default=""),
        ),
    ),
    "leaderboard": Entry(
        "every model and baseline on public cells over several seeds",
        _leaderboard,
        (
            Own("--boards", "names, comma-separated: xjtu, tju, hust, tju-35, ... (default: all)", default=""),
            Own("--page", "also write the page to this file", Path),
        ),
    ),
    "simulate": Entry(
        "make the simulated LG M50T data anew (needs the simulate extra)",
        _simulate,
        (
            Own("FOLDER", "folder to write the LG M50T layout into", Path),
            Own("--seed", "seed of the spread and the noise (default: 0)", int, 0),
            Own("--workers", "processes (default: 1)", int, 1),
        ),
        takes_settings=False,
    ),
    "train-job": Entry("", _train_job, (Own("SPEC", "job file that a run wrote", Path),), takes_settings=False),
}


def main(argv: Sequence[str]) -> int:
    """Run one entry."""
    shown = {name: entry.what for name, entry in ENTRIES.items() if entry.what}
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: {PROG} STAGE [--section.key value]\n\nstages:")
        width = max(map(len, shown))
        print("\n".join(f"  {name:<{width}} {what}" for name, what in shown.items()))
        print(f"\n'{PROG} STAGE --help' lists every setting.")
        return 0 if argv else 2
    name, rest = current_command(argv[0]), argv[1:]
    if name not in ENTRIES:
        raise SettingsError(str(unknown_name("stage", name, shown)))
    return ENTRIES[name].run(read(name, ENTRIES[name], rest))


if __name__ == "__main__":
    guarded(lambda: main(sys.argv[1:]))
