"""The page says what was reached and what was missed, and never shows a leaking figure without its label."""

from __future__ import annotations

from typing import Any

import pytest

from battery_core.errors import UnknownNameError
from battery_core.evaluation.benchmark.benchmarks import BENCHMARKS, chosen_benchmarks
from battery_core.reporting.tables.leaderboard import goal_table, leaderboard_page, print_leaderboard, published_table


def line(model: str, mean: float, sd: float | None = 0.02, groups: tuple[str, ...] = ("HUST",)) -> dict[str, Any]:
    figure = {"mean": mean, "sd": sd, "seeds": {"0": mean, "1": mean}}
    each = dict.fromkeys(groups, figure)
    return {"model": model, "mape": figure, "rmse": figure, "worst_cell": "c", "worst_mape": 9.0, "groups": each}


def entry(name: str = "hust", goal: float | None = 1.1, **more: Any) -> dict[str, Any]:
    fields = {
        "benchmark": name, "source": "hust", "description": "HUST", "goal": goal, "leaking": False,
        "cells": {"train": 5, "val": 2, "test": 3}, "seeds": 5, "seeds_done": 2, "data_version": "0123456789abcdef.dir",
        "ensemble_weights": {"0": {"mlp": 0.25, "lstm": 0.75}, "1": {"mlp": 1.0}},
        "models": [line("lstm", 0.8), line("ensemble", 0.9), line("mlp", 1.4)],
        "baselines": [line("train_mean", 6.8, None)],
    }  # fmt: skip
    return fields | more


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [(1.1, "holds"), (0.85, "holds for the best model, not for the ensemble"), (0.7, "**missed** by 0.10")],
)
def test_a_goal_is_held_or_missed(goal: float, verdict: str) -> None:
    (row,) = goal_table([entry(goal=goal)])
    assert row[""] == verdict
    assert (row["best model"], row["seeds"], row["ensemble"]) == ("lstm 0.80 ± 0.02", "2 of 5", "0.90 ± 0.02")


def test_a_board_without_a_finished_seed_is_not_measured() -> None:
    empty = entry(models=[], ensemble_weights={}, seeds_done=0)
    assert goal_table([empty])[0][""] == "not measured"
    assert "| train_mean | 6.80 |" in leaderboard_page({"benchmarks": [empty]})


def test_leaking_figures_are_labelled_and_stand_beside_honest_ones() -> None:
    leaking = entry("hust-published", None, leaking=True, models=[line("mlp", 0.6)], baselines=[])
    (row,) = published_table(leaking, [entry()])
    assert row == {
        "group": "HUST",
        "PINN, published (leaks)": "0.78",
        "MLP, published (leaks)": "0.80",
        "CNN, published (leaks)": "0.74",
        "mlp, as published (leaks)": "0.60 ± 0.02",
        "ensemble without leak, all groups in one fit": "0.90 ± 0.02",
    }
    page = leaderboard_page({"benchmarks": [entry(), leaking]})
    honest, leaks = page.split("## The published protocol: data leakage")
    assert "published (leaks)" not in honest
    assert "0.60" not in honest
    assert "| HUST | 0.78 | 0.80 | 0.74 | 0.60 ± 0.02 | 0.90 ± 0.02 |" in leaks
    assert "seeds: 2 of 5; data version `0123456789ab`." in honest
    assert "Ensemble weights in % by seed: 0: lstm 75, mlp 25; 1: mlp 100." in honest


def test_groups_are_shown_where_there_are_several() -> None:
    several = entry(models=[line("mlp", 1.4, None, ("a", "b"))], baselines=[])
    assert "| mlp | 1.40 | 1.40 | 9.00 (c) | 1.40 | 1.40 |" in leaderboard_page({"benchmarks": [several]})


def test_the_terminal_shows_the_same_tables(capsys: pytest.CaptureFixture[str]) -> None:
    print_leaderboard({"benchmarks": [entry()]})
    printed = capsys.readouterr().out
    assert [line.strip() for line in printed.splitlines() if line.strip() in ("hust", "Goals")] == ["hust", "Goals"]
    assert all(name in printed for name in ("lstm", "ensemble", "mlp", "train_mean"))


def test_benchmarks_by_name() -> None:
    assert [one.name for one in chosen_benchmarks([])] == list(BENCHMARKS)
    with pytest.raises(UnknownNameError, match="unknown benchmark 'tju35': did you mean 'tju-35'"):
        chosen_benchmarks(["hust", "tju35"])
