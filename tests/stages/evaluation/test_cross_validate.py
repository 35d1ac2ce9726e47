"""Cross-validation: every cell once in test and never in training of the same fold; jobs that stand stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.data.splits.cell_split import CellSplit
from battery_core.errors import SettingsError, TrainingError
from battery_core.files import read_json, write_json
from battery_core.jobs import RESULT_FILE
from battery_core.reporting.tables.cross_validation import cross_validation_table
from battery_core.stages.evaluation import cross_validate as stage
from battery_core.stages.training.candidate import PREDICTIONS_FILE
from battery_core.stages.training.train import train

WIDTH = 0.02


def changed(prepared: Any, tmp_path: Any, **validation: Any) -> Any:
    """The prepared settings with folders for jobs of their own, and models that are not mixed."""
    settings = prepared.settings
    return settings.model_copy(
        update={
            "ensemble": settings.ensemble.model_copy(update={"enabled": False}),
            "cross_validation": settings.cross_validation.model_copy(update=validation),
            "paths": settings.paths.model_copy(update={"artifacts": tmp_path / "artifacts"}),
        }
    )


def splits_of(jobs: list[stage.FoldJob]) -> dict[int, CellSplit]:
    from pathlib import Path

    return {job.fold: CellSplit.from_json(Path(job.spec.split).read_text()) for job in jobs}


def pretend(jobs: list[stage.FoldJob], off: dict[str, float], prepared: Any) -> None:
    """Predictions of jobs that were never run: off by a share that depends on the model, a little on the seed."""
    from battery_core.stages.labelled_rows import labelled_rows

    for job in jobs:
        split = splits_of([job])[job.fold]
        rows = labelled_rows(prepared.tables.path, split, "nominal")
        wrong = off[job.spec.model] + 0.001 * job.seed
        job.spec.folder.mkdir(parents=True, exist_ok=True)
        said = rows.assign(prediction=rows["soh"] * (1 + wrong))
        said = said.assign(soh_lower=said["prediction"] - WIDTH / 2, soh_upper=said["prediction"] + WIDTH / 2)
        said.to_parquet(job.spec.folder / PREDICTIONS_FILE)


@pytest.mark.parametrize("count", [3, 0])
def test_each_cell_is_tested_once_and_frozen_test_cells_never(prepared, tmp_path, count: int) -> None:
    settings = changed(prepared, tmp_path, folds=count)
    found = splits_of(stage.fold_jobs(settings, prepared.tables, prepared.split))
    frozen = CellSplit.from_json(prepared.split.path.read_text())
    free = {*frozen.train, *frozen.val}
    assert len(found) == (count or len(free))
    assert sorted(cell for split in found.values() for cell in split.test) == sorted(free)
    for split in found.values():
        assert not set(split.test) & {*split.train, *split.val}
        assert not {*split.train, *split.val, *split.test} & set(frozen.test)


def test_frozen_test_cells_only_when_asked_for(prepared, tmp_path) -> None:
    settings = changed(prepared, tmp_path, folds=3, with_test_cells=True)
    found = splits_of(stage.fold_jobs(settings, prepared.tables, prepared.split))
    frozen = CellSplit.from_json(prepared.split.path.read_text())
    assert set(frozen.test) <= {cell for split in found.values() for cell in split.test}


def test_a_job_for_each_model_fold_and_seed_and_the_same_ones_again(prepared, tmp_path) -> None:
    settings = changed(prepared, tmp_path, folds=3, seeds=2)
    first = stage.fold_jobs(settings, prepared.tables, prepared.split)
    assert len(first) == 2 * 3 * 2 == len({job.spec.run_id for job in first})
    again = stage.fold_jobs(settings, prepared.tables, prepared.split)
    assert [job.spec.key for job in again] == [job.spec.key for job in first]  # what stands is found


def test_too_many_folds_are_refused(prepared, tmp_path) -> None:
    with pytest.raises(SettingsError, match=r"cross_validation.folds: expected 2 to \d+ folds of \d+ cells, .* got 99"):
        stage.fold_jobs(changed(prepared, tmp_path, folds=99), prepared.tables, prepared.split)


def test_mean_spread_and_test_over_cells(prepared, tmp_path) -> None:
    settings = changed(prepared, tmp_path, folds=3, seeds=2)
    jobs = stage.fold_jobs(settings, prepared.tables, prepared.split)
    pretend(jobs, {"lgbm": 0.01, "mlp": 0.02}, prepared)
    report = stage.cross_validate(settings, prepared.tables, jobs, tmp_path / "report")
    content = read_json(report.path)
    by_name = {line["model"]: line for line in content["models"]}
    assert by_name["lgbm"]["mean"] == pytest.approx(1.05)  # seeds 0 and 1: 1.0 % and 1.1 %
    assert by_name["mlp"]["mean"] == pytest.approx(2.05)
    assert by_name["lgbm"]["seed_spread"] == pytest.approx(np.std([1.0, 1.1], ddof=1))
    assert by_name["lgbm"]["fold_spread"] == pytest.approx(0.0, abs=1e-9)
    assert {"train_mean", "linear_throughput"} <= set(by_name)
    (test,) = content["tests"]
    assert (test["best"], test["model"], test["wins"]) == ("lgbm", "mlp", 1.0)
    assert test["p_value"] == pytest.approx(2 * 0.5 ** content["cells"])
    assert report.message.startswith("cross_validate: lgbm is the best of 2 on")
    shown = {row["model"]: row for row in cross_validation_table(content)}
    assert shown["lgbm"]["against the best"] == ""
    assert shown["mlp"]["against the best"].startswith("lgbm 49% better, on 100% of")
    errors = pd.read_parquet(report.path.parent / "errors.parquet")
    assert errors.groupby(["model", "seed", "cell_id"]).size().max() == 1


def test_what_intervals_hold_is_told_over_cells(prepared, tmp_path) -> None:
    settings = changed(prepared, tmp_path, folds=3)
    jobs = stage.fold_jobs(settings, prepared.tables, prepared.split)
    pretend(jobs, {"lgbm": 0.001, "mlp": 0.05}, prepared)
    for job in jobs:
        file = job.spec.folder / PREDICTIONS_FILE
        rows = pd.read_parquet(file)
        if job.spec.model == "lgbm" and job.fold == 0:  # each second check-up of this fold's cells is not held
            rows.loc[rows["checkup_index"] % 2 == 1, ["soh_lower", "soh_upper"]] += 1.0
            rows.to_parquet(file)
    report = stage.cross_validate(settings, prepared.tables, jobs, tmp_path / "report")
    content = read_json(report.path)
    by_name = {line["model"]: line for line in content["models"]}
    errors = pd.read_parquet(report.path.parent / "errors.parquet")
    held = errors[errors["model"] == "lgbm"].set_index("cell_id")["coverage"]
    first = set(errors.loc[(errors["model"] == "lgbm") & (errors["fold"] == 0), "cell_id"])
    assert all(held[cell] == pytest.approx(0.5, abs=0.1) if cell in first else held[cell] == 1.0 for cell in held.index)
    assert by_name["lgbm"]["coverage"] == pytest.approx(held.mean())
    assert by_name["lgbm"]["coverage_low"] < by_name["lgbm"]["coverage"] < by_name["lgbm"]["coverage_high"] <= 1
    assert [by_name[name]["width"] for name in ("lgbm", "mlp")] == pytest.approx([100 * WIDTH] * 2)
    assert by_name["mlp"]["coverage"] < 0.1
    assert by_name["train_mean"]["coverage"] is None
    shown = {row["model"]: row for row in cross_validation_table(content)}
    assert shown["lgbm"]["coverage"].startswith(f"{held.mean():.1%} (")
    assert (shown["lgbm"]["width"], shown["train_mean"]["coverage"], shown["train_mean"]["width"]) == (
        "2.0 pt",
        "",
        "",
    )


def test_what_a_night_would_put_forward_is_judged_too(prepared, tmp_path) -> None:
    settings = changed(prepared, tmp_path, folds=2, seeds=2)
    settings = settings.model_copy(update={"ensemble": settings.ensemble.model_copy(update={"enabled": True})})
    jobs = stage.fold_jobs(settings, prepared.tables, prepared.split)
    for job in jobs:
        write_json(job.spec.folder / RESULT_FILE, train(job.spec) | {"key": job.spec.key, "run_id": job.spec.run_id})
    heard: list[str] = []
    content = read_json(stage.cross_validate(settings, prepared.tables, jobs, tmp_path / "report", heard.append).path)
    by_name = {line["model"]: line for line in content["models"]}
    assert [line.split(": ensemble ")[0] for line in heard] == ["cross_validate: fold 0", "cross_validate: fold 1"]
    assert {"ensemble", "lgbm", "mlp", "train_mean"} <= set(by_name)
    assert by_name["ensemble"]["seed_spread"] is not None
    assert by_name["ensemble"]["coverage"] is not None
    assert len(content["tests"]) == 2
    errors = pd.read_parquet(tmp_path / "report" / "errors.parquet")
    sizes = errors.groupby("model").size()
    assert sizes["ensemble"] == sizes["lgbm"] == 2 * content["cells"]
    single = errors[errors["model"] != "train_mean"].pivot_table(
        index=["cell_id", "seed"], columns="model", values="mape"
    )
    assert (single["ensemble"] <= single[["lgbm", "mlp"]].max(axis=1) + 1e-9).all()  # a mean is between the two
    stands = {folder.name for folder in (tmp_path / "artifacts" / "runs").glob("*-blend-*")}
    stage.cross_validate(settings, prepared.tables, jobs, tmp_path / "again")
    assert {folder.name for folder in (tmp_path / "artifacts" / "runs").glob("*-blend-*")} == stands
    (jobs[0].spec.folder / RESULT_FILE).unlink()
    with pytest.raises(TrainingError, match=r"job 'xjtu-\w+-\w+' left no result in .* run it again"):
        stage.cross_validate(settings, prepared.tables, jobs, tmp_path / "report")


def test_a_job_without_predictions_is_said(prepared, tmp_path) -> None:
    settings = changed(prepared, tmp_path, folds=3)
    jobs = stage.fold_jobs(settings, prepared.tables, prepared.split)
    with pytest.raises(TrainingError, match=r"job 'xjtu-lgbm-\w+' left no predictions .* run it again"):
        stage.cross_validate(settings, prepared.tables, jobs, tmp_path / "report")


def test_a_prediction_that_is_not_finite_is_the_worst(prepared, tmp_path) -> None:
    settings = changed(prepared, tmp_path, folds=3)
    jobs = stage.fold_jobs(settings, prepared.tables, prepared.split)
    pretend(jobs, {"lgbm": 0.01, "mlp": float("nan")}, prepared)
    report = stage.cross_validate(settings, prepared.tables, jobs, tmp_path / "report")
    assert report.message.startswith("cross_validate: lgbm is the best")
    assert [line["model"] for line in read_json(report.path)["models"]][-1] == "mlp"
