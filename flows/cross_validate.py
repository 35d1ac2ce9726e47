"""Flow ``cross_validate``: compare models by cross-validation over cells and seeds; nothing is promoted.

``python flows/cross_validate.py --models mlp,lgbm --cross_validation.folds 5`` runs it here and now.
"""

from __future__ import annotations

if __name__ == "__main__":  # a wrong option or --help must not wait for the orchestrator to be imported
    from flows.command_line import read_command_line

    OVERRIDES = read_command_line(
        program="flows/cross_validate.py",
        description="Compare models by cross-validation: each cell is tested once by models not trained on it.",
    )

from typing import Any

from prefect import flow
from prefect.logging import get_run_logger

from battery_core import jobs
from battery_core.artifacts import StageResult
from battery_core.errors import TrainingError
from battery_core.release.locking import hold_lock
from battery_core.settings import Settings
from battery_core.stages.evaluation.cross_validate import fold_jobs
from battery_core.stages.registry import lock_file
from flows.common import begin, gather, run_name, start
from tasks import cross_validation
from tasks.common import tag_run
from tasks.data import fetch, normalize, split


@flow(name="cross_validate", flow_run_name=run_name)
def cross_validate(source: str | None = None, settings: dict[str, Any] | None = None) -> StageResult:
    """Train every model on every fold with every seed, ``jobs.concurrent`` at a time, and compare them over cells.

    Args:
        source: source of the cells; empty: as in params.yaml.
        settings: any other setting by its dotted name, such as {"cross_validation.seeds": 5}.

    Raises:
        TrainingError: a job failed; the next run reuses the finished jobs.
    """
    chosen, name = begin(settings, source)
    log = get_run_logger()
    with hold_lock(lock_file(chosen), f"cross_validate {name}", log.warning), jobs.none_left_behind():
        raw = fetch(chosen)
        tag_run(f"source:{chosen.data.source}", f"data:{raw.version[:12]}")
        tables = normalize(chosen, raw)
        planned = fold_jobs(chosen, tables, split(chosen, tables))
        log.info("cross_validate: %d jobs, %d at a time", len(planned), chosen.jobs.concurrent)
        results, failures = gather(start(chosen, [job.spec for job in planned]))
        if failures:
            again = "run it again: what ended is not trained again"
            raise TrainingError(f"{len(failures)} of {len(planned)} jobs failed - {again}; {'; '.join(failures)}")
        log.info(
            "cross_validate: %d of %d jobs stood already", sum(result["reused"] for result in results), len(planned)
        )
        return cross_validation.cross_validate(
            chosen, tables, planned, chosen.folder("artifacts") / "cross_validation" / name
        )


def print_result(report: StageResult, _settings: Settings, seconds: float) -> None:
    """Print the comparison at the terminal."""
    from battery_core.files import read_json
    from battery_core.reporting.tables.cross_validation import cross_validation_table
    from battery_core.reporting.tables.rows import print_table

    content = read_json(report.path)
    over = f"{content['cells']} cells, {content['folds']} folds, {content['seeds']} seeds"
    print_table(f"Cross-validation on {content['source']}: {over}", cross_validation_table(content))
    print(f"Wilcoxon signed-rank over cells, Holm-corrected; {report.path}; {seconds:.0f} s")


if __name__ == "__main__":
    from flows.command_line import run_here

    run_here(cross_validate, OVERRIDES, print_result)
