"""Entry point of ``battery COMMAND`` and ``python -m battery_core COMMAND``: runs without an orchestrator."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from battery_core.cli.commands import COMMANDS, parse
from battery_core.cli.options import run_and_exit


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    program = "battery" if Path(sys.argv[0]).name == "battery" else "python -m battery_core"
    invocation = parse(argv, program)
    return COMMANDS[invocation.command].run(invocation)


def run() -> None:
    """Run the command in the arguments of this process; the console command ``battery`` calls this."""
    run_and_exit(lambda: main(sys.argv[1:]))


if __name__ == "__main__":
    run()
