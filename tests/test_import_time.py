"""What entry points import: --help stays under 1 s of CPU because nothing heavy is loaded for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "pandas", "torch", "mlflow", "lightgbm", "matplotlib", "prefect", "dvc", "scipy", "sklearn", "rich")
HELP = """
import runpy, sys
sys.argv = {argv!r}
try:
    {run}
except SystemExit as leave:
    assert leave.code == 0, leave.code
"""
MODULE = "runpy.run_module('battery_core', run_name='__main__')"
SCRIPT = "runpy.run_path(sys.argv[0], run_name='__main__')"


def loaded(program: str) -> set[str]:
    """Return the heavy packages that a program has loaded when it ends."""
    tail = f"\nimport sys\nprint('loaded:', *(name for name in {HEAVY!r} if name in sys.modules))\n"
    done = subprocess.run([sys.executable, "-c", program + tail], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "program",
    [
        HELP.format(argv=["battery_core", "--help"], run=MODULE),
        HELP.format(argv=["battery_core", "train", "--help"], run=MODULE),
        HELP.format(argv=["battery_core", "train", "--help-all"], run=MODULE),
        HELP.format(argv=["flows/train.py", "--help"], run=SCRIPT),
        HELP.format(argv=["flows/score.py", "--help"], run=SCRIPT),
        "import battery_core.settings",
        "import battery_core.jobs",
    ],
)
def test_help_and_settings_load_nothing_heavy(program: str) -> None:
    assert loaded(program) == set()


def test_the_trainer_loads_no_tracking_trees_plots_or_orchestrator() -> None:
    assert loaded("from battery_core.training import Trainer") <= {"numpy", "torch", "pandas"}
