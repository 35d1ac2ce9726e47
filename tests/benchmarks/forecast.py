"""Error of the forecast of the remaining useful life: ``python -m tests.benchmarks.forecast`` (two minutes).

The history of each test cell is cut at a share of its life, its SOH is predicted by a LightGBM that never saw the cell,
and its remaining life is forecast from earlier check-ups and from training and validation cells only. Beside it: the
linear fade of the cell, and the median life of the reference cells of its condition.
Needs BATTERY__DATA__REFERENCE_ROOT.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from battery_core.data.splits.cell_split import CellSplit
from battery_core.forecasting.remaining_life import MIN_CHECKUPS, ReferenceCell, fit_trend, forecast_rul, usage_at_soh
from battery_core.jobs import run_job
from battery_core.predictors.pipeline import Pipeline
from battery_core.settings import resolve
from battery_core.stages.data.fetch import fetch
from battery_core.stages.data.normalize import normalize
from battery_core.stages.data.split import split
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.scoring.remaining_life import reference_cells, with_usage
from battery_core.stages.training.candidate import PIPELINE_FOLDER
from battery_core.stages.training.job_specs import job_specs

SETS = {"simulated": 0.80, "xjtu": 0.82, "tju": 0.80, "hust": 0.82}  # xjtu and hust are hardly measured down to 80 %
CUTS = (0.3, 0.5, 0.7, 0.9)


def backtest(source: str, end_of_life: float, root: Path, subset: str = "test") -> pd.DataFrame:
    """Return a row for each cell of a subset and cut: errors in % of its life, and whether the interval held.

    Test cells are forecast from training and validation cells, validation cells from training cells alone.
    """
    where = {f"paths.{name}": root / name for name in ("data", "splits", "artifacts")}
    settings = resolve({"data.source": source, "models": ("lgbm",), **where})
    tables = normalize(settings, fetch(settings))
    cell_split = split(settings, tables)
    (spec,) = job_specs(settings, tables, cell_split)
    run_job(spec, 3600)
    pipeline = Pipeline.load(spec.folder / PIPELINE_FOLDER)
    rows, _ = with_usage(labelled_rows(tables.path, CellSplit.from_json(cell_split.path.read_text()), "nominal"))
    rows["estimate"] = pipeline.predict(rows)
    earlier = ["train", "val"] if subset == "test" else ["train"]
    references = reference_cells(rows[rows["subset"].isin(earlier)])
    lines = []
    for cell in reference_cells(rows[rows["subset"] == subset]):
        end = usage_at_soh(cell.usage, cell.soh, end_of_life)
        estimate = rows.loc[rows["cell_id"] == cell.cell_id, "estimate"].to_numpy()
        for cut in CUTS if np.isfinite(end) else ():
            n = int(np.searchsorted(cell.usage, cut * end))
            if n >= MIN_CHECKUPS:
                lines.append(_line(cell, estimate, n, end, end_of_life, references, pipeline) | {"cut": cut})
    return pd.DataFrame(lines)


def _line(
    cell: ReferenceCell,
    estimate: Any,
    n: int,
    end: float,
    end_of_life: float,
    references: list[ReferenceCell],
    pipeline: Pipeline,
) -> dict[str, float]:
    usage, soh, left = cell.usage[:n], estimate[:n], end - cell.usage[n - 1]
    now = fit_trend(usage, soh)
    result = forecast_rul(usage, soh, end_of_life, references, cell.conditions, half_width_of(pipeline, now.soh))
    line = max(now.soh - end_of_life, 0) / -now.slope if now.slope < 0 else np.nan
    lives = [
        usage_at_soh(other.usage, other.soh, end_of_life)
        for other in references
        if cell.conditions[0] in other.conditions
    ]
    life = float(np.nanmedian(lives)) if np.isfinite(lives).any() else np.nan
    slope_soh = now.soh + now.slope * left
    has_forecast = np.isfinite(result.rul)
    return {
        "has_forecast": float(has_forecast),
        "forecast": abs(result.rul - left) / end * 100,
        "linear": abs(line - left) / end * 100,
        "median_life": abs(life - end) / end * 100,
        "held": float(result.low <= left <= result.high) if has_forecast else np.nan,
        "width": (result.high - result.low) / end * 100 if has_forecast and np.isfinite(result.high) else np.nan,
        "soh_persistence": abs(now.soh - end_of_life) * 100,
        "soh_linear": abs(slope_soh - end_of_life) * 100,
        "soh_forecast": abs(now.soh + (end_of_life - now.soh) * left / result.rul - end_of_life) * 100
        if has_forecast and result.rul > 0
        else np.nan,
    }


def half_width_of(pipeline: Pipeline, soh_now: float) -> float:
    """Return half the width of the model's interval at an SOH; 0 for a model without intervals."""
    if pipeline.conformal is None:
        return 0.0
    lower, upper = pipeline.conformal.bounds(np.array([soh_now]))
    return float(upper[0] - lower[0]) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("artifacts") / "forecast-benchmark", help="scratch folder")
    parser.add_argument("--sets", default=",".join(SETS), help="which of the sets, such as simulated,xjtu")
    parser.add_argument("--subset", default="test", choices=["test", "val"], help="cells to forecast")
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    os.environ["BATTERY_ROOT"] = str(root)
    (root / "params.yaml").write_text("")
    columns = ["set, end of life", "cut", "cells", "forecast", "linear", "median life", "held", "width"]
    columns += ["SOH forecast", "SOH linear", "SOH persistence"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for source in arguments.sets.split(","):
        end_of_life = SETS[source]
        found = backtest(source, end_of_life, root, arguments.subset)
        for cut, part in found.groupby("cut"):
            middle = part.median()
            errors = " | ".join(f"{middle[name]:.1f}" for name in ("forecast", "linear", "median_life"))
            at_end = " | ".join(f"{middle[name]:.2f}" for name in ("soh_forecast", "soh_linear", "soh_persistence"))
            held = f"{part['held'].mean():.0%} | {middle['width']:.0f}"
            count = f"{int(part['has_forecast'].sum())} of {len(part)}"
            print(f"| {source} {end_of_life:.0%} | {cut:.0%} | {count} | {errors} | {held} | {at_end} |", flush=True)


if __name__ == "__main__":
    main()
