"""Flow ``score``: predict the present SOH of every cell with the champion.

``python flows/score.py`` runs it here and now; ``prefect deployment run score/daily`` on a worker.
"""

from __future__ import annotations

if __name__ == "__main__":  # a wrong option or --help must not wait for the orchestrator to be imported
    from flows.command_line import read_command_line

    OVERRIDES = read_command_line(
        program="flows/score.py",
        description="Say how every cell is now: State of Health with its interval, and the use that is left.",
    )

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.logging import get_run_logger

from battery_core.release.locking import hold_lock
from battery_core.settings import Settings
from battery_core.stages.registry import lock_file
from battery_core.stages.scoring.score import ScoringResult
from flows.common import begin, run_name
from tasks import scoring
from tasks.common import tag_run
from tasks.data import fetch, normalize


@flow(name="score", flow_run_name=run_name)
def score(source: str | None = None, settings: dict[str, Any] | None = None) -> ScoringResult:
    """Fetch the newest check-ups, predict with the champion, write table and plot, and flag cells that need attention.

    Args:
        source: source of the cells; empty: as in params.yaml.
        settings: any other setting by its dotted name, such as {"score.end_of_life": 0.7}.
    """
    chosen, name = begin(settings, source)
    waiting = get_run_logger().warning
    with hold_lock(lock_file(chosen), f"score {name}", waiting):  # no run changes data or champion
        raw = fetch(chosen)
        tag_run(f"source:{chosen.data.source}", f"data:{raw.version[:12]}")
        tables = normalize(chosen, raw)
        result = scoring.score(chosen, tables, scores_folder(chosen, name))
    tag_run(f"model:{result.summary['model'].removeprefix('models:/')}")
    return result


def scores_folder(settings: Settings, name: str) -> Path:
    """Return the folder for table, summary and plot of a scoring run."""
    return settings.folder("artifacts") / "scores" / name


def print_result(result: ScoringResult, _settings: Settings, seconds: float) -> None:
    """Print the most urgent cells and the flags at the terminal."""
    import pandas as pd

    from battery_core.reporting.tables.rows import print_table
    from battery_core.reporting.tables.scoring import score_flags, score_table
    from battery_core.stages.scoring.score import FIGURE_FILE, SCORES_FILE

    rows = score_table(pd.read_parquet(result.folder / SCORES_FILE), most=12)
    print_table("Cells by urgency", rows)
    print("\n".join(score_flags(result.summary)))
    print(f"\ntable: {result.folder / SCORES_FILE}\nplot:  {result.folder / FIGURE_FILE}\n{seconds:.0f} s")


if __name__ == "__main__":
    from flows.command_line import run_here

    run_here(score, OVERRIDES, print_result)
