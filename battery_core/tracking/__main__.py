"""Command that sends local runs to MLflow: ``python -m battery_core.tracking RUN_DIR... --uri URI``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from battery_core.errors import BatteryError
from battery_core.tracking.mlflow_tracker import send_run


def main(arguments: Sequence[str] | None = None) -> int:
    """Send each run folder; return exit code 1 when one could not be sent."""
    parser = argparse.ArgumentParser(prog="python -m battery_core.tracking", description="Send local runs to MLflow.")
    parser.add_argument("run_dir", nargs="+", help="folder of a run, e.g. artifacts/runs/<run_id>")
    parser.add_argument("--uri", required=True, help="MLflow tracking URI")
    parser.add_argument("--experiment", default="soh-training", help="MLflow experiment (default: %(default)s)")
    options = parser.parse_args(arguments)
    failed = 0
    for run_dir in options.run_dir:
        try:
            print(f"{run_dir}: MLflow run {send_run(run_dir, options.uri, options.experiment)}")
        except BatteryError as err:
            failed = 1
            print(f"error: {err}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
