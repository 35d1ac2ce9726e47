"""How far off forecasts of the end of life are: ``python -m tests.benchmarks.forecast`` (two minutes).

The history of each test cell is cut at a share of its life, its SOH is predicted by a LightGBM that never saw the cell,
and the use left is forecast from earlier check-ups and from training and validation cells only. Beside it: the cell's
own line alone, and the median life of earlier cells of its condition. Needs BATTERY__DATA__REFERENCE_ROOT.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from battery_core.data.splits.cell_split import CellSplit
from battery_core.forecasting.remaining_life import MIN_CHECKUPS, ReferenceCell, forecast, trend, use_at
from battery_core.jobs import run_job
from battery_core.predictors.pipeline import Pipeline
from battery_core.settings import resolve
from battery_core.stages.data import fetch as data
from battery_core.stages.scoring.remaining_life import histories, with_use
from battery_core.stages.training.candidate import PIPELINE_FOLDER
from battery_core.stages.training.job_specs import job_specs
from battery_core.stages.training.train import labelled_rows

SETS = {"simulated": 0.80, "xjtu": 0.82, "tju": 0.80, "hust": 0.82}  # xjtu and hust are hardly measured down to 80 %
CUTS = (0.3, 0.5, 0.7, 0.9)


def backtest(source: str, end_of_life: float, root: Path, part: str = "test") -> pd.DataFrame:
    """One line for each cell of this part of the split and cut: errors in % of its life, and whether the interval held.

    Test cells are forecast from training and validation cells, validation cells from training cells alone.
    """
    where = {f"paths.{name}": root / name for name in ("data", "splits", "artifacts")}
    settings = resolve({"data.source": source, "models": ("lgbm",), **where})
    tables = data.normalize(settings, data.fetch(settings))
    split = data.split(settings, tables)
    (spec,) = job_specs(settings, tables, split)
    run_job(spec, 3600)
    pipeline = Pipeline.load(spec.folder / PIPELINE_FOLDER)
    rows, _ = with_use(labelled_rows(tables.path, CellSplit.from_json(split.path.read_text()), "nominal"))
    rows["estimate"] = pipeline.predict(rows)
    earlier = ["train", "val"] if part == "test" else ["train"]
    past = histories(rows[rows["subset"].isin(earlier)])
    lines = []
    for cell in histories(rows[rows["subset"] == part]):
        end = use_at(cell.use, cell.soh, end_of_life)
        estimate = rows.loc[rows["cell_id"] == cell.cell_id, "estimate"].to_numpy()
        for cut in CUTS if np.isfinite(end) else ():
            n = int(np.searchsorted(cell.use, cut * end))
            if n >= MIN_CHECKUPS:
                lines.append(_line(cell, estimate, n, end, end_of_life, past, pipeline) | {"cut": cut})
    return pd.DataFrame(lines)


def _line(
    cell: ReferenceCell,
    estimate: Any,
    n: int,
    end: float,
    end_of_life: float,
    past: list[ReferenceCell],
    pipeline: Pipeline,
) -> dict[str, float]:
    use, soh, left = cell.use[:n], estimate[:n], end - cell.use[n - 1]
    now = trend(use, soh)
    found = forecast(use, soh, end_of_life, past, cell.conditions, half_width_of(pipeline, now.soh))
    line = max(now.soh - end_of_life, 0) / -now.slope if now.slope < 0 else np.nan
    lives = [use_at(other.use, other.soh, end_of_life) for other in past if cell.conditions[0] in other.conditions]
    life = float(np.nanmedian(lives)) if np.isfinite(lives).any() else np.nan
    slope_soh = now.soh + now.slope * left
    told = np.isfinite(found.left)
    return {
        "told": float(told),
        "forecast": abs(found.left - left) / end * 100,
        "linear": abs(line - left) / end * 100,
        "median_life": abs(life - end) / end * 100,
        "held": float(found.low <= left <= found.high) if told else np.nan,
        "width": (found.high - found.low) / end * 100 if told and np.isfinite(found.high) else np.nan,
        "soh_persistence": abs(now.soh - end_of_life) * 100,
        "soh_linear": abs(slope_soh - end_of_life) * 100,
        "soh_forecast": abs(now.soh + (end_of_life - now.soh) * left / found.left - end_of_life) * 100
        if told and found.left > 0
        else np.nan,
    }


def half_width_of(pipeline: Pipeline, soh_now: float) -> float:
    """Half the width of the model's interval at an SOH; 0 for a model without intervals."""
    if pipeline.conformal is None:
        return 0.0
    lower, upper = pipeline.conformal.bounds(np.array([soh_now]))
    return float(upper[0] - lower[0]) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("artifacts") / "forecast-benchmark", help="scratch folder")
    parser.add_argument("--sets", default=",".join(SETS), help="which of the sets, such as simulated,xjtu")
    parser.add_argument("--part", default="test", choices=["test", "val"], help="which cells are forecast")
    given = parser.parse_args()
    root = given.root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    os.environ["BATTERY_ROOT"] = str(root)
    (root / "params.yaml").write_text("")
    columns = ["set, end of life", "cut", "told", "forecast", "own line", "median life", "held", "width"]
    columns += ["SOH forecast", "SOH own line", "SOH persistence"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for source in given.sets.split(","):
        end_of_life = SETS[source]
        found = backtest(source, end_of_life, root, given.part)
        for cut, part in found.groupby("cut"):
            middle = part.median()
            errors = " | ".join(f"{middle[name]:.1f}" for name in ("forecast", "linear", "median_life"))
            at_end = " | ".join(f"{middle[name]:.2f}" for name in ("soh_forecast", "soh_linear", "soh_persistence"))
            held = f"{part['held'].mean():.0%} | {middle['width']:.0f}"
            told = f"{int(part['told'].sum())} of {len(part)}"
            print(f"| {source} {end_of_life:.0%} | {cut:.0%} | {told} | {errors} | {held} | {at_end} |", flush=True)


if __name__ == "__main__":
    main()
