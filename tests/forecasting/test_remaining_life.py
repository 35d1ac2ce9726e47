"""The remaining useful life is exact on a line, corrected where reference cells have a knee, and NaN without data."""

from __future__ import annotations

import numpy as np
import pytest

from battery_core.forecasting.remaining_life import (
    MIN_REFERENCE_CELLS,
    ReferenceCell,
    fit_trend,
    forecast_rul,
    usage_at_soh,
)

END = 0.8


def straight(usage: np.ndarray, slope: float = 0.001) -> np.ndarray:
    return 1.0 - slope * usage


def with_knee(usage: np.ndarray, knee: float) -> np.ndarray:
    """Slow fade, then ten times as fast."""
    return 1.0 - 0.0005 * usage - 0.0045 * np.maximum(usage - knee, 0.0)


def knee_cells(n: int = 12, condition: str = "knee") -> list[ReferenceCell]:
    usage = np.arange(0.0, 400.0, 5.0)
    return [ReferenceCell(f"k{i}", (condition,), usage, with_knee(usage, 95.0 + i)) for i in range(n)]


def test_a_few_bad_readings_do_not_change_the_line() -> None:
    usage = np.arange(0.0, 100.0, 5.0)
    soh = straight(usage)
    soh[[3, 8, 12]] -= 0.08
    result = forecast_rul(usage, soh, END)
    assert result.rul == pytest.approx(200.0 - 95.0, rel=1e-6)
    assert result.low <= result.rul <= result.high
    assert result.basis == "linear fade of this cell alone; a knee is not included"


def test_the_interval_holds_the_truth_with_noise_and_many_checkups() -> None:
    usage = np.arange(0.0, 100.0, 0.1)
    soh = straight(usage) + np.random.default_rng(0).normal(0, 0.002, len(usage))
    result = forecast_rul(usage, soh, END, half_width=0.005)
    assert result.low < 100.0 < result.high
    assert result.rul == pytest.approx(100.0, rel=0.05)


def test_reference_cells_show_a_knee_that_the_line_does_not_include() -> None:
    usage = np.arange(0.0, 90.0, 5.0)  # before its knee at 100
    soh = with_knee(usage, 100.0)
    truth = usage_at_soh(np.arange(0.0, 400.0), with_knee(np.arange(0.0, 400.0), 100.0), END) - usage[-1]
    alone, helped = forecast_rul(usage, soh, END), forecast_rul(usage, soh, END, knee_cells(), ("knee",))
    assert alone.rul > 5 * truth
    assert helped.rul == pytest.approx(truth, rel=0.05)
    assert helped.low <= truth <= helped.high
    assert helped.n_reference_cells == 12
    assert "12 reference cells of knee" in helped.basis


def test_a_cell_that_fades_faster_has_a_shorter_remaining_life() -> None:
    """Reference cells fade along lines of different slopes: their ratio to the linear RUL spreads least."""
    usage = np.arange(0.0, 400.0, 5.0)
    reference_cells = [ReferenceCell(f"s{i}", (), usage, straight(usage, 0.0006 + 0.0001 * i)) for i in range(8)]
    history = np.arange(0.0, 60.0, 5.0)
    result = forecast_rul(history, straight(history, 0.002), END, reference_cells)
    assert result.rul == pytest.approx(100.0 - 55.0, rel=0.02)
    assert result.basis.startswith("linear fade, corrected by 8 reference cells")


def test_the_narrowest_condition_with_enough_cells_counts() -> None:
    usage = np.arange(0.0, 300.0, 5.0)
    others = [ReferenceCell(f"o{i}", ("other",), usage, straight(usage)) for i in range(10)]
    history = np.arange(0.0, 80.0, 5.0)
    enough = forecast_rul(history, with_knee(history, 100.0), END, knee_cells(MIN_REFERENCE_CELLS) + others, ("knee",))
    few = forecast_rul(history, with_knee(history, 100.0), END, knee_cells(MIN_REFERENCE_CELLS - 1) + others, ("knee",))
    assert enough.n_reference_cells == MIN_REFERENCE_CELLS
    assert few.n_reference_cells == 10 + MIN_REFERENCE_CELLS - 1


def test_a_cell_with_a_higher_soh_than_all_others_gets_their_total_life() -> None:
    reference_cells = knee_cells()
    late = [
        ReferenceCell(cell.cell_id, cell.conditions, cell.usage[2:], cell.soh[2:] - 0.01) for cell in reference_cells
    ]
    lives = [usage_at_soh(cell.usage, cell.soh, END) for cell in late]
    usage = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    result = forecast_rul(usage, 1.02 - 0.0001 * usage, END, late, ("knee",))
    assert result.rul == pytest.approx(np.median(lives) - 4.0)
    assert result.basis == "total life of 12 reference cells of knee"


def test_the_width_of_the_soh_widens_the_forecast() -> None:
    usage = np.arange(0.0, 90.0, 5.0)
    narrow, wide = (
        forecast_rul(usage, with_knee(usage, 100.0), END, knee_cells(), ("knee",), half) for half in (0.0, 0.02)
    )
    assert wide.rul == narrow.rul
    assert wide.low < 0.95 * narrow.low
    assert wide.high > 1.05 * narrow.high


def test_about_nine_in_ten_of_exchangeable_cells_are_held() -> None:
    random = np.random.default_rng(1)
    usage = np.arange(0.0, 400.0, 5.0)
    held = []
    for _ in range(60):
        knees = random.normal(100.0, 8.0, 16)
        reference_cells = [ReferenceCell(str(i), (), usage, with_knee(usage, knee)) for i, knee in enumerate(knees[1:])]
        history = np.arange(0.0, 75.0, 5.0)
        truth = usage_at_soh(usage, with_knee(usage, knees[0]), END) - history[-1]
        result = forecast_rul(history, with_knee(history, knees[0]), END, reference_cells)
        held.append(result.low <= truth <= result.high)
    assert 0.8 <= np.mean(held) <= 1.0


@pytest.mark.parametrize(
    ("soh", "basis"),
    [
        ([0.9, 0.9], "2 check-ups are too few"),
        ([0.90, 0.91, 0.92, 0.93, 0.94], "no fade measured and no reference cells"),
        ([0.9, np.nan, 0.88, np.nan], "2 check-ups are too few"),
    ],
)
def test_without_data_there_is_no_forecast(soh: list[float], basis: str) -> None:
    result = forecast_rul(np.arange(len(soh)), soh, END)
    assert np.isnan(result.rul)
    assert result.basis == basis


def test_a_cell_at_end_of_life_has_no_remaining_life() -> None:
    result = forecast_rul(np.arange(10.0), np.linspace(0.9, 0.75, 10), END)
    assert (result.rul, result.low, result.high) == (0.0, 0.0, 0.0)


def test_one_low_reading_is_not_the_end() -> None:
    usage = np.arange(0.0, 300.0)
    soh = straight(usage)
    soh[50] = 0.5
    assert usage_at_soh(usage, soh, END) == pytest.approx(200.0, abs=1.0)
    assert np.isnan(usage_at_soh(usage, soh, 0.2))
    assert np.isnan(usage_at_soh(usage, soh, 1.1))


def test_the_newest_checkups_give_the_present_soh() -> None:
    usage = np.arange(0.0, 200.0, 5.0)
    now = fit_trend(usage, with_knee(usage, 150.0))
    assert now.soh == pytest.approx(with_knee(usage, 150.0)[-1], abs=1e-9)
    assert now.steepest <= now.slope <= now.flattest
