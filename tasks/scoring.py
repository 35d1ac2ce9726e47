"""Tasks of scoring: predict every cell with the champion, and show the scores on the run page."""

from __future__ import annotations

import base64
from pathlib import Path

import pandas as pd
from prefect import task
from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact
from prefect.logging import get_run_logger

from battery_core.artifacts import StageResult
from battery_core.reporting.tables.scoring import score_flags, score_table
from battery_core.settings import Settings
from battery_core.stages.scoring import score as stage
from battery_core.stages.scoring.score import ScoringResult
from tasks.common import OPTIONS


@task(name="score", task_run_name="score {settings.data.source}", tags=["score"], timeout_seconds=1800, **OPTIONS)
def score(settings: Settings, tables: StageResult, folder: Path) -> ScoringResult:
    """Predict the newest check-ups with the champion; show table, plot and flags on the run page."""
    log = get_run_logger()
    result = stage.score(settings, tables, folder, log.warning)
    log.info(result.message)
    show(result, settings.data.source.replace("_", "-"))
    return result


def show(result: ScoringResult, key: str) -> None:
    """Publish table, plot and flags of a scoring run as Prefect artefacts."""
    scores = pd.read_parquet(result.folder / stage.SCORES_FILE)
    create_table_artifact(table=score_table(scores), key=f"scores-{key}", description=result.message)
    picture = base64.b64encode((result.folder / stage.FIGURE_FILE).read_bytes()).decode()
    create_image_artifact(
        image_url=f"data:image/png;base64,{picture}", key=f"scores-fade-{key}", description="the cells to look at first"
    )
    create_markdown_artifact(markdown="\n".join(score_flags(result.summary)), key=f"scores-flags-{key}")
