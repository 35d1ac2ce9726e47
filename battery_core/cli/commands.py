"""The commands of ``battery`` and ``python -m battery_core``: one table, one function each."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from battery_core.cli.options import (
    EXIT_WRONG_SETTING,
    Parser,
    SettingsHelp,
    add_settings,
    current_options,
    read_overrides,
)
from battery_core.deprecated_names import current_command
from battery_core.errors import SettingsError, unknown_name
from battery_core.models.registry import settings_sections
from battery_core.settings import Settings, resolve

# The functions below import the code of their command: --help must not load pandas, torch or MLflow.


@dataclass(frozen=True)
class Argument:
    """An argument of one command that is no setting.

    Args:
        name: ``--to`` for an option; ``FOLDER`` for a positional, ``[FOLDER]`` for one that may be left out.
        help: its meaning, in a line.
        convert: what turns the text into a value.
        default: its value where it is left out.
    """

    name: str
    help: str
    convert: Callable[[str], Any] = str
    default: Any = None

    def add_to(self, parser: Parser) -> None:
        """Add it to a parser; a positional is read by its name in small letters."""
        if self.name.startswith("-"):
            parser.add_argument(self.name, type=self.convert, default=self.default, help=self.help)
            parser.option_names.append(self.name)
            return
        name = self.name.strip("[]")
        nargs = "?" if name != self.name else None
        parser.add_argument(
            name.lower(), metavar=name, nargs=nargs, type=self.convert, default=self.default, help=self.help
        )
        parser.positional_help[name] = self.help


@dataclass(frozen=True)
class Invocation:
    """A parsed command line: the command, its arguments, and the settings it changes."""

    command: str
    arguments: Namespace
    overrides: dict[str, Any] = field(default_factory=dict)

    def settings(self, more: Mapping[str, Any] | None = None) -> Settings:
        """Return all settings; those in ``more`` win."""
        return resolve({**self.overrides, **(more or {})})


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        summary: what it does, in a line; empty for a command that only the workflow starts.
        run: does it and returns the exit code.
        arguments: its arguments beside the settings.
        settings: the settings that its help shows; None for a command without settings.
    """

    summary: str
    run: Callable[[Invocation], int]
    arguments: tuple[Argument, ...] = ()
    settings: SettingsHelp | None = None


def _print_lines(lines: Iterable[str]) -> int:
    for line in lines:
        print(line, flush=True)
    return 0


def _run_stage(invocation: Invocation) -> int:
    settings = invocation.settings()
    from battery_core.stages.run_stage import run_stage

    return _print_lines(run_stage(invocation.command, settings))


def _run_train_job(invocation: Invocation) -> int:
    from battery_core.jobs import job_process
    from battery_core.stages.training.train import train

    return job_process(invocation.arguments.spec, train)


def _show_history(invocation: Invocation) -> int:
    settings = invocation.settings()
    from rich.console import Console

    from battery_core.stages.release.rollback import history

    Console(width=None if sys.stdout.isatty() else 160).print(history(settings))
    return 0


def _roll_back(invocation: Invocation) -> int:
    settings, arguments = invocation.settings(), invocation.arguments
    from battery_core.stages.release.rollback import rollback

    return _print_lines([rollback(settings, arguments.reason or "no reason given", arguments.to)])


def _restore(invocation: Invocation) -> int:
    settings, arguments = invocation.settings(), invocation.arguments
    from battery_core.stages.data.restore import restore

    return _print_lines(restore(settings, arguments.model_version, arguments.to))


def _show_leaderboard(invocation: Invocation) -> int:
    settings, arguments = invocation.settings(), invocation.arguments
    from battery_core.stages.evaluation.leaderboard import on_the_terminal

    names = [name.strip() for name in arguments.boards.split(",") if name.strip()]
    return on_the_terminal(settings, names, arguments.page)


def _simulate(invocation: Invocation) -> int:
    from battery_core.data.simulation import simulate

    def print_progress(done: int, total: int, cell: str) -> None:
        print(f"simulate: {done} of {total} cells: {cell}", flush=True)

    arguments = invocation.arguments
    count = simulate(arguments.folder, seed=arguments.seed, workers=arguments.workers, progress=print_progress)
    return _print_lines([f"simulate: {count} cells in {arguments.folder}"])


def _explain(invocation: Invocation) -> int:
    settings, arguments = invocation.settings(), invocation.arguments
    from battery_core.stages.evaluation.explain_run import explain_run

    cells = tuple(filter(None, arguments.cells.split(",")))
    return _print_lines(explain_run(settings, arguments.run_or_version, cells, arguments.rows, arguments.to))


def _inspect(invocation: Invocation) -> int:
    folder = invocation.arguments.folder
    settings = invocation.settings(
        {"data.source": "cycler_folder", **({"data.cycler.folder": folder} if folder else {})}
    )
    from battery_core.reporting.tables.inspection import print_inspection
    from battery_core.stages.data.inspect import inspect

    inspection = inspect(settings)
    print_inspection(inspection, settings.data.cycler.folder or Path())
    return 0 if inspection.is_ready else 1


_ORIGIN = ("data.source", "data.reference_root")
_MODEL_SECTIONS = ("features", *settings_sections(), "uncertainty", "trainer", "loss")
_DATA = SettingsHelp((*_ORIGIN, "data.soh_reference", "data.workers"), ("data", "paths"))
_SPLIT = SettingsHelp((*_ORIGIN, "split.strategy", "split.seed"), ("data", "split", "paths"))
_SNAPSHOT = SettingsHelp((*_ORIGIN, "data.remote"), ("data", "split", "paths"))
_REGISTRY = SettingsHelp(
    ("data.source", "release.registered_model", "tracking.mlflow_uri"), ("release", "tracking", "paths")
)
_TRAIN = SettingsHelp(
    ("models", "seed", "data.source", "trainer.epochs", "trainer.device", "loss.name", "jobs.concurrent"),
    ("data", "split", *_MODEL_SECTIONS, "jobs", "paths"),
)
_EVALUATE = SettingsHelp(
    ("models", "seed", "data.source", "ensemble.enabled"),
    ("data", "split", *_MODEL_SECTIONS, "ensemble", "paths"),
)
_PROMOTE = SettingsHelp(
    (
        "models", "data.source", "release.min_improvement", "release.confidence", "release.slice_checks",
        "release.required_baselines",
    ),
    ("data", "split", *_MODEL_SECTIONS, "ensemble", "release", "tracking", "paths"),
)  # fmt: skip

COMMANDS: dict[str, Command] = {
    "inspect": Command(
        "show how a folder of your own cycler data is read, before anything is trained",
        _inspect,
        (Argument("[FOLDER]", "folder of your cycler exports (default: data.cycler.folder)"),),
        SettingsHelp(
            ("data.cycler.folder", "data.cycler.current_sign", "data.cycler.checkup_rule", "data.cycler.low_rate"),
            ("data",),
        ),
    ),
    "fetch": Command("bring the raw files of the source", _run_stage, settings=_DATA),
    "normalize": Command("turn raw files into checked tables", _run_stage, settings=_DATA),
    "split": Command("divide cells into training, validation and test", _run_stage, settings=_SPLIT),
    "snapshot": Command(
        "record the data as a version, and copy versions that are missing to the remote", _run_stage, settings=_SNAPSHOT
    ),
    "restore": Command(
        "restore the data that a model version was trained on",
        _restore,
        (
            Argument("MODEL_VERSION", "number, alias such as champion, or NAME/NUMBER"),
            Argument("--to", "restore below this folder; the project's data stay unchanged", Path),
        ),
        SettingsHelp(("data.source", "data.remote"), ("data", "release", "tracking", "paths")),
    ),
    "train": Command("train every model in the settings", _run_stage, settings=_TRAIN),
    "ensemble": Command("build the weighted ensemble and list the candidates", _run_stage, settings=_EVALUATE),
    "evaluate": Command("score candidates and baselines on the test cells", _run_stage, settings=_EVALUATE),
    "select": Command("choose the challenger on the validation cells", _run_stage, settings=_EVALUATE),
    "report": Command("draw the figures and write the page of the evaluation", _run_stage, settings=_EVALUATE),
    "compare": Command("compare the challenger with the champion on the same cells", _run_stage, settings=_PROMOTE),
    "promote": Command("register the challenger and promote it if it wins", _run_stage, settings=_PROMOTE),
    "explain": Command(
        "explain the predictions of a run or a model version: figures and a table of values",
        _explain,
        (
            Argument("RUN_OR_VERSION", "folder of artifacts/reports or artifacts/runs; or number, alias, NAME/NUMBER"),
            Argument("--cells", "cells, separated by commas (default: worst, median and best test cell)", default=""),
            Argument("--rows", "check-ups to explain, evenly over the cells (default: 200)", int, 200),
            Argument("--to", "folder to write into (default: artifacts/explanations/RUN_OR_VERSION)", Path),
        ),
        SettingsHelp(("data.source", "tracking.mlflow_uri"), ("data", "tracking", "release", "paths")),
    ),
    "history": Command("list promotions: which version, since when and why", _show_history, settings=_REGISTRY),
    "rollback": Command(
        "make the previous champion the champion again",
        _roll_back,
        (
            Argument("--to", "version to promote (default: the previous champion)", int),
            Argument("--reason", "reason, recorded in the history", default=""),
        ),
        _REGISTRY,
    ),
    "leaderboard": Command(
        "compare every model and baseline on public cells over several seeds",
        _show_leaderboard,
        (
            Argument("--boards", "names, comma-separated: xjtu, tju, hust, tju-35, ... (default: all)", default=""),
            Argument("--page", "also write the page to this file", Path),
        ),
        SettingsHelp(
            ("models", "data.reference_root", "leaderboard.seeds", "leaderboard.train", "jobs.concurrent"),
            ("leaderboard", *_MODEL_SECTIONS, "ensemble", "jobs", "paths"),
        ),
    ),
    "simulate": Command(
        "regenerate the simulated LG M50T data (needs the simulate extra)",
        _simulate,
        (
            Argument("FOLDER", "folder to write the LG M50T layout into", Path),
            Argument("--seed", "seed of the spread and the noise (default: 0)", int, 0),
            Argument("--workers", "processes (default: 1)", int, 1),
        ),
    ),
    "train-job": Command("", _run_train_job, (Argument("SPEC", "job file that a run wrote", Path),)),
}


def parse(argv: Sequence[str], program: str) -> Invocation:
    """Return the command and its values on a command line; ``--help`` and a wrong argument end the program.

    Raises:
        SettingsError: the command is unknown, or a value is wrong.
    """
    parser = Parser(program, "Train, compare and promote battery State-of-Health models.")
    parser.epilog = f"'{program} COMMAND --help' describes a command, --help-all every setting."
    listed = parser.add_subparsers(metavar="COMMAND", title="commands")
    parsers = {
        name: listed.add_parser(name, help=command.summary, description=command.summary)
        for name, command in COMMANDS.items()
        if command.summary or name in argv[:1]
    }
    if not argv:
        parser.print_help()
        raise SystemExit(EXIT_WRONG_SETTING)
    if argv[0].startswith("-"):
        parser.parse_args(argv)
    name = current_command(argv[0])
    if name not in parsers:
        raise SettingsError(str(unknown_name("command", name, [key for key in COMMANDS if COMMANDS[key].summary])))
    command, chosen, rest = COMMANDS[name], parsers[name], current_options(argv[1:])
    for argument in command.arguments:
        argument.add_to(chosen)
    if command.settings:
        add_settings(chosen, rest, command.settings)
    parsed, unknown = parser.parse_known_args([name, *rest])
    if unknown:
        chosen.error(f"unrecognized arguments: {' '.join(unknown)}")
    return Invocation(name, parsed, read_overrides(parsed) if command.settings else {})
