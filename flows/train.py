"""Flow ``train``: fetch new data, retrain the models and promote the better one.

``python flows/train.py`` runs it here and now; ``prefect deployment run train/nightly`` on a worker.
"""

from __future__ import annotations

if __name__ == "__main__":  # a wrong option or --help must not wait for the orchestrator to be imported
    from flows.command_line import read_command_line

    OVERRIDES = read_command_line()

from pathlib import Path
from typing import Any

from prefect import State, flow, runtime
from prefect.logging import get_run_logger
from prefect.states import Completed

from battery_core import jobs
from battery_core.artifacts import ReleaseResult
from battery_core.errors import TrainingError
from battery_core.release.locking import hold_lock
from battery_core.release.provenance import code_state
from battery_core.settings import Settings
from battery_core.stages.data.data_changes import DataChanges
from battery_core.stages.registry import lock_file
from battery_core.stages.training.job_specs import job_specs
from flows.common import begin, ended, gather, run_name, start
from tasks.common import tag_run
from tasks.data import fetch, normalize, split
from tasks.evaluation import evaluate, report, select_challenger
from tasks.release import compare, open_registry, promote
from tasks.training import build_ensemble
from tasks.versions import find_data_changes, snapshot


@flow(name="train", flow_run_name=run_name)
def train(
    source: str | None = None, models: list[str] | None = None, settings: dict[str, Any] | None = None
) -> ReleaseResult | State[DataChanges]:
    """Retrain every model on the newest data, compare them on the same test cells, and promote the better one.

    Args:
        source: source of the cells; empty: as in params.yaml.
        models: models to train; empty: as in params.yaml.
        settings: any other setting by its dotted name, such as {"trainer.epochs": 50}.

    Returns:
        The release result; with ``release.retrain_only_if_new`` and no new data, a state that names the reason.
    """
    chosen, name = begin(settings, source, models)
    _log_run_settings(chosen)
    with hold_lock(lock_file(chosen), name, get_run_logger().warning), jobs.none_left_behind():
        raw = fetch(chosen)
        tag_run(f"data:{raw.version[:12]}")
        tables = normalize(chosen, raw)
        cells = split(chosen, tables)
        specs = job_specs(chosen, tables, cells)
        registry = open_registry.submit(chosen)
        recorded = snapshot.submit(chosen, raw, tables, cells)
        changes = find_data_changes.submit(chosen, raw, tables, specs, wait_for=[registry], return_state=False)
        if chosen.release.retrain_only_if_new and (data_changes := ended(changes).result()).no_new_data:
            ended(recorded).result()
            tag_run("no-new-data")
            return Completed(name="NoNewData", message=f"{data_changes.message}: not trained", data=data_changes)
        training = start(chosen, specs)
        results, failures = gather(training)
        data_changes = ended(changes).result(raise_on_failure=False)  # None without MLflow: the run goes on
        folder = report_folder(chosen, f"{name}-{runtime.flow_run.id[:4]}")
        candidates = build_ensemble(chosen, tables, cells, results, folder)
        evaluation = evaluate(chosen, tables, cells, candidates, _if_any(data_changes))
        selection = select_challenger(chosen, evaluation)
        page = report.submit(chosen, tables, cells, selection)  # runs beside the comparison
        ended(registry).result()
        ended(recorded).result()
        comparison = compare(chosen, tables, cells, selection)
        ended(page).result()
        outcome = promote(chosen, tables, cells, comparison, name)
    if failures:
        count = f"{len(failures)} of {len(training)} training jobs failed, the rest is released"
        raise TrainingError(f"{count}: {'; '.join(failures)}")
    return outcome


def report_folder(settings: Settings, name: str) -> Path:
    """Return the folder for report, figures and outcome of a run."""
    return settings.folder("artifacts") / "reports" / name


def _if_any(result: Any) -> DataChanges | None:
    return result if isinstance(result, DataChanges) else None


def _log_run_settings(settings: Settings) -> None:
    code = code_state()
    tag_run(f"source:{settings.data.source}", f"commit:{code.commit[:10]}{'-dirty' if code.is_dirty else ''}")
    changed = f", with uncommitted changes in {', '.join(code.changed[:3])}" if code.is_dirty else ""
    get_run_logger().info(
        "train: source %s, models %s, seed %d, code %s%s",
        settings.data.source, ", ".join(settings.models), settings.seed, code.commit[:10], changed,
    )  # fmt: skip


if __name__ == "__main__":
    from flows.command_line import run_here

    run_here(train, OVERRIDES)
