"""Figures of the data: of a readable size whatever the data, and the distance between cells is the textbook's."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from battery_core.evaluation.data_drift import measure_drift
from battery_core.reporting.figures import data as data_figures
from battery_core.reporting.figures.data_drift import draw_drift
from battery_core.reporting.figures.style import temperature_colours


def make_rows(cells: int, checkups: int, groups: int = 1, temperatures: tuple[float, ...] = (25.0,)) -> pd.DataFrame:
    rows = pd.DataFrame(
        [(f"c{c}", i) for c in range(cells) for i in range(checkups)], columns=["cell_id", "checkup_index"]
    )
    number = rows["cell_id"].str[1:].astype(int)
    return rows.assign(
        soh=1.0 - 0.02 * rows["checkup_index"],
        group=[f"g{n % groups}" for n in number],
        ambient_temperature_degC=[temperatures[n % len(temperatures)] for n in number],
        nominal_capacity_Ah=5.0,
        throughput_Ah=100.0 * rows["checkup_index"],
        cycle_count=np.nan,
        time_days=np.nan,
    )


NO_ISSUES = pd.DataFrame({"cell_id": pd.Series(dtype=str), "row": pd.Series(dtype=float), "action": []})


def size_of(png: Path) -> tuple[int, int]:
    head = png.read_bytes()[:24]
    width, height = struct.unpack(">II", head[16:24])
    return width, height


@pytest.mark.parametrize(
    "rows",
    [
        make_rows(1, 1),
        make_rows(12, 16, groups=3, temperatures=(10.0, 25.0, 40.0)),
        make_rows(130, 10, groups=3, temperatures=(25.0, np.nan)),
        make_rows(77, 4, groups=77).assign(throughput_Ah=np.nan),
        make_rows(6, 200, groups=6, temperatures=(5.0, 15.0, 25.0, 35.0, 45.0, 55.0)),
    ],
    ids=["one point", "small", "130 cells", "a group a cell, no use", "dense"],
)
def test_figures_are_readable_in_size(rows: pd.DataFrame, tmp_path: Path) -> None:
    issues = pd.DataFrame({"cell_id": ["c0", "c0"], "row": [0, 3], "action": ["flagged", "quarantined"]})
    for file in (
        data_figures.draw_fade_curves(rows, "fade", tmp_path / "fade.png"),
        data_figures.draw_checkup_spacing(rows, "spacing", tmp_path / "spacing.png"),
        data_figures.draw_quality_issues(rows, issues, "map", tmp_path / "map.png"),
        data_figures.draw_quality_issues(rows, NO_ISSUES, "map", tmp_path / "none.png"),
    ):
        width, height = size_of(file)
        assert 600 <= width <= 1300
        assert 150 <= height <= 1150
        assert 5_000 < file.stat().st_size < 400_000


def test_use_is_in_full_cycles_where_throughput_is_known() -> None:
    rows = make_rows(1, 3)
    values, unit = data_figures.usage_of(rows)
    assert values.tolist() == [0.0, 10.0, 20.0]  # 100 Ah through a 5 Ah cell are ten full cycles
    assert unit == "equivalent full cycles"
    assert data_figures.usage_of(rows.assign(throughput_Ah=np.nan, cycle_count=7.0))[1] == "cycles"
    assert data_figures.usage_of(rows.assign(throughput_Ah=np.nan))[1] == "check-ups"
    assert data_figures.time_of(rows.assign(time_days=1.0))[1] == "days"


def test_warm_and_cold_have_colours_of_their_own() -> None:
    colours = temperature_colours(pd.Series([45.0, 25.0, 25.0, np.nan]))
    assert list(colours) == ["25 °C", "45 °C", "temperature not stated"]
    assert len(set(colours.values())) == 3


def by_hand(train: np.ndarray, test: np.ndarray) -> float:
    """The largest distance of two staircases, point by point."""
    return max(abs(float(np.mean(train <= x)) - float(np.mean(test <= x))) for x in [*train, *test])


def test_the_distance_equals_one_computed_by_hand() -> None:
    generator = np.random.default_rng(0)
    part = pd.Series(["train"] * 70 + ["test"] * 40 + ["val"] * 9)
    near, far = generator.normal(size=119), generator.normal(size=119)
    far[70:110] += 1.0
    far[110:] = 50.0  # validation cells play no part
    near[5] = np.nan
    table = measure_drift(pd.DataFrame({"near": near, "far": far, "empty": np.nan}), part)
    assert table["feature"].tolist() == ["far", "near"]
    assert table["ks"][0] == pytest.approx(by_hand(far[:70], far[70:110]))
    assert table["ks"][1] == pytest.approx(by_hand(near[:70][np.isfinite(near[:70])], near[70:110]))
    assert table["outside"][0] == pytest.approx(
        np.mean((far[70:110] > far[:70].max()) | (far[70:110] < far[:70].min()))
    )


@pytest.mark.parametrize("features", [1, 33])
def test_distributions_have_a_panel_a_feature(features: int, tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(60, features))
    values[:, 0] = 3.0  # stands still
    frame = pd.DataFrame(values, columns=[f"feature_{i}" for i in range(features)])
    part = pd.Series(["train", "test"] * 30, index=range(100, 160))  # as rows that were picked have it
    file = draw_drift(frame, part, measure_drift(frame, part), "drift", tmp_path / "drift.png")
    width, height = size_of(file)
    assert width == 1210
    assert 200 < height < 1000
