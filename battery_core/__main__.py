"""``python -m battery_core STAGE [--section.key value]``: the door that DVC and people without an orchestrator use."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from battery_core.cli import Parser, guarded, parse_overrides
from battery_core.errors import SettingsError, unknown_name
from battery_core.settings import resolve

STAGES = {
    "inspect": "show what a folder of your own cycler data is understood to be, before anything is trained",
    "fetch": "bring the raw files of the source",
    "normalize": "raw files to checked tables",
    "split": "cells into training, validation and test",
    "keep": "put the data as they are now into the version store, and send to the remote what it has not",
    "checkout": "restore the data a model version was trained on",
    "train": "train every model the settings name",
    "evaluate": "models and baselines on the test cells",
    "release": "register the challenger and promote it if it wins",
    "history": "who has served, since when and why",
    "rollback": "put the champion before this one back into service",
    "simulate": "make the simulated LG M50T data anew (needs the simulate extra)",
}


def main(argv: Sequence[str]) -> int:
    """Run one stage."""
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: python -m battery_core STAGE [--section.key value]\n\nstages:")
        print("\n".join(f"  {name:<10} {what}" for name, what in STAGES.items()))
        print("\n'python -m battery_core STAGE --help' lists every setting.")
        return 0 if argv else 2
    name, *rest = argv
    if name == "train-job":  # started by a run for one job; people use 'train'
        return _train_job(rest)
    if name not in STAGES:
        raise SettingsError(str(unknown_name("stage", name, STAGES)))
    if name == "simulate":
        return _simulate(rest)
    if name == "checkout":
        return _checkout(rest)
    if name == "inspect":
        return _inspect(rest)
    if name in ("history", "rollback"):
        return _by_hand(name, rest)
    overrides = parse_overrides(rest, f"python -m battery_core {name}", STAGES[name])
    settings = resolve(overrides)
    from battery_core.stages.chain import run_stage

    for line in run_stage(name, settings):
        print(line, flush=True)
    return 0


def _train_job(rest: Sequence[str]) -> int:
    from battery_core.jobs import job_process
    from battery_core.stages.train import train

    return job_process(Path(rest[0]), train)


def _by_hand(name: str, rest: Sequence[str]) -> int:
    parser = Parser(add_help=False)
    if name == "rollback":
        parser.add_argument(
            "--to", type=int, help="version to put into service (default: the champion before this one)"
        )
        parser.add_argument("--reason", default="", help="why, for the people who read the history")
    own, rest = parser.parse_known_args(list(rest))
    settings = resolve(parse_overrides(rest, f"python -m battery_core {name}", STAGES[name] + _options(parser)))
    from battery_core.stages import rollback as stage

    if name == "rollback":
        print(stage.rollback(settings, own.reason or "no reason given", own.to))
        return 0
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160).print(stage.history(settings))
    return 0


def _options(parser: Parser) -> str:
    """A stage's own options, for the text above all settings."""
    own = [f"{action.option_strings[0]}: {action.help}" for action in parser._actions]
    return f"; {'; '.join(own)}" if own else ""


def _checkout(rest: Sequence[str]) -> int:
    usage = "checkout MODEL_VERSION [--to FOLDER]: number, alias such as champion, or NAME/NUMBER"
    if rest and not rest[0].startswith("-"):
        which, rest = rest[0], rest[1:]
    elif not {"-h", "--help"} & set(rest):
        raise SettingsError(f"checkout: expected a model version - {usage}")
    parser = Parser(add_help=False)
    parser.add_argument("--to", type=Path, help="restore below this folder; the project's data stay as they are")
    own, rest = parser.parse_known_args(list(rest))
    overrides = parse_overrides(rest, "python -m battery_core checkout", f"{STAGES['checkout']}; {usage}")
    from battery_core.stages.checkout import checkout

    for line in checkout(resolve(overrides), which, own.to):
        print(line, flush=True)
    return 0


def _simulate(rest: Sequence[str]) -> int:
    parser = Parser(prog="python -m battery_core simulate", description=STAGES["simulate"])
    parser.add_argument("folder", type=Path, help="folder to write the LG M50T layout into")
    parser.add_argument("--seed", type=int, default=0, help="seed of the spread and the noise (default: 0)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    given = parser.parse_args(list(rest))
    from battery_core.data.simulation import simulate

    def progress(done: int, total: int, cell: str) -> None:
        print(f"simulate: {done} of {total} cells: {cell}", flush=True)

    count = simulate(given.folder, seed=given.seed, workers=given.workers, progress=progress)
    print(f"simulate: {count} cells in {given.folder}")
    return 0


def _inspect(rest: Sequence[str]) -> int:
    folder, options = (rest[0], rest[1:]) if rest and not rest[0].startswith("-") else ("", rest)
    overrides = parse_overrides(options, "python -m battery_core inspect [FOLDER]", STAGES["inspect"])
    named = {"data.cycler.folder": folder} if folder else {}
    settings = resolve({**overrides, **named, "data.source": "cycler_folder"})
    from battery_core.stages.inspect import inspect
    from battery_core.stages.inspect_report import show

    inspection = inspect(settings)
    show(inspection, settings.data.cycler.folder or Path())
    return 0 if inspection.is_ready else 1


if __name__ == "__main__":
    guarded(lambda: main(sys.argv[1:]))
