"""Figures are written, of a size that can be read, and not empty."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from battery_core.reporting.figures import predictions as figures


def make_rows(cells: int, checkups: int, temperatures: tuple[float, ...] = (10.0, 25.0)) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = pd.DataFrame(
        [(f"c{c}", i) for c in range(cells) for i in range(checkups)], columns=["cell_id", "checkup_index"]
    )
    number = rows["cell_id"].str[1:].astype(int)
    rows["soh"] = 1.0 - 0.02 * rows["checkup_index"]
    rows["prediction"] = rows["soh"] + generator.normal(0, 0.01, len(rows))
    return rows.assign(ambient_temperature_degC=[temperatures[n % len(temperatures)] for n in number], group="g")


def size_of(png: Path) -> tuple[int, int]:
    head = png.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


@pytest.mark.parametrize(
    "rows",
    [
        make_rows(5, 12),
        make_rows(1, 1),
        make_rows(12, 3).assign(ambient_temperature_degC=np.nan, group=[f"g{i % 12}" for i in range(36)]),
        make_rows(3, 100),
    ],
    ids=["five cells", "one point", "many groups, no temperature", "dense"],
)
def test_figures_have_a_sane_size_and_are_not_empty(rows: pd.DataFrame, tmp_path: Path) -> None:
    order = sorted(rows["cell_id"].unique())
    for file, wide in (
        (figures.draw_parity(rows, "lgbm on simulated LG M50T", tmp_path / "new" / "parity.png"), 1.0),
        (figures.draw_fade(rows, order, "lgbm on simulated LG M50T", tmp_path / "new" / "fade.png"), 2.9),
    ):
        width, height = size_of(file)
        assert 350 <= height <= 1000
        assert width / height == pytest.approx(wide, abs=0.15)
        assert 8_000 < file.stat().st_size < 500_000


@pytest.mark.parametrize("broken", [np.nan, np.inf])
@pytest.mark.parametrize("share", [1, None])
def test_predictions_that_are_not_finite_still_give_figures(tmp_path: Path, broken: float, share: int | None) -> None:
    rows = make_rows(3, 6)
    rows.loc[: share or len(rows), "prediction"] = broken
    assert size_of(figures.draw_parity(rows, "broken", tmp_path / "parity.png"))[0] > 300
    assert size_of(figures.draw_fade(rows, ["c0", "c1", "c2"], "broken", tmp_path / "fade.png"))[0] > 300
