"""Use that is left: exact on a line, corrected where earlier cells had a knee, and honest where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest

from battery_core.forecasting.remaining_life import MIN_LIKE_IT, ReferenceCell, forecast, trend, use_at

END = 0.8


def straight(use: np.ndarray, slope: float = 0.001) -> np.ndarray:
    return 1.0 - slope * use


def with_knee(use: np.ndarray, knee: float) -> np.ndarray:
    """Slow fade, then ten times as fast."""
    return 1.0 - 0.0005 * use - 0.0045 * np.maximum(use - knee, 0.0)


def knee_cells(n: int = 12, condition: str = "knee") -> list[ReferenceCell]:
    use = np.arange(0.0, 400.0, 5.0)
    return [ReferenceCell(f"k{i}", (condition,), use, with_knee(use, 95.0 + i)) for i in range(n)]


def test_a_line_is_carried_on_whatever_a_few_bad_readings_say() -> None:
    use = np.arange(0.0, 100.0, 5.0)
    soh = straight(use)
    soh[[3, 8, 12]] -= 0.08
    found = forecast(use, soh, END)
    assert found.left == pytest.approx(200.0 - 95.0, rel=1e-6)
    assert found.low <= found.left <= found.high
    assert found.basis == "own fade alone: a knee is not foreseen"


def test_noise_and_many_checkups_leave_the_truth_in_the_interval() -> None:
    use = np.arange(0.0, 100.0, 0.1)
    soh = straight(use) + np.random.default_rng(0).normal(0, 0.002, len(use))
    found = forecast(use, soh, END, half_width=0.005)
    assert found.low < 100.0 < found.high
    assert found.left == pytest.approx(100.0, rel=0.05)


def test_earlier_cells_tell_of_a_knee_that_the_line_does_not_see() -> None:
    use = np.arange(0.0, 90.0, 5.0)  # before its knee at 100
    soh = with_knee(use, 100.0)
    truth = use_at(np.arange(0.0, 400.0), with_knee(np.arange(0.0, 400.0), 100.0), END) - use[-1]
    alone, helped = forecast(use, soh, END), forecast(use, soh, END, knee_cells(), ("knee",))
    assert alone.left > 5 * truth
    assert helped.left == pytest.approx(truth, rel=0.05)
    assert helped.low <= truth <= helped.high
    assert helped.n_like_it == 12
    assert "12 earlier cells of knee" in helped.basis


def test_a_cell_that_fades_faster_has_less_left_than_the_others_had() -> None:
    """Earlier cells fade along lines of different slopes: the own line is what they agree on."""
    use = np.arange(0.0, 400.0, 5.0)
    past = [ReferenceCell(f"s{i}", (), use, straight(use, 0.0006 + 0.0001 * i)) for i in range(8)]
    own = np.arange(0.0, 60.0, 5.0)
    found = forecast(own, straight(own, 0.002), END, past)
    assert found.left == pytest.approx(100.0 - 55.0, rel=0.02)
    assert found.basis.startswith("own fade, corrected by 8 earlier cells")


def test_the_narrowest_condition_with_enough_cells_counts() -> None:
    use = np.arange(0.0, 300.0, 5.0)
    others = [ReferenceCell(f"o{i}", ("other",), use, straight(use)) for i in range(10)]
    own = np.arange(0.0, 80.0, 5.0)
    enough = forecast(own, with_knee(own, 100.0), END, knee_cells(MIN_LIKE_IT) + others, ("knee",))
    few = forecast(own, with_knee(own, 100.0), END, knee_cells(MIN_LIKE_IT - 1) + others, ("knee",))
    assert enough.n_like_it == MIN_LIKE_IT
    assert few.n_like_it == 10 + MIN_LIKE_IT - 1


def test_a_cell_fresher_than_all_others_is_given_their_lives() -> None:
    past = knee_cells()
    late = [ReferenceCell(cell.cell_id, cell.conditions, cell.use[2:], cell.soh[2:] - 0.01) for cell in past]
    lives = [use_at(cell.use, cell.soh, END) for cell in late]
    use = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    found = forecast(use, 1.02 - 0.0001 * use, END, late, ("knee",))
    assert found.left == pytest.approx(np.median(lives) - 4.0)
    assert found.basis == "the lives of 12 earlier cells of knee"


def test_the_width_of_the_soh_widens_the_forecast() -> None:
    use = np.arange(0.0, 90.0, 5.0)
    narrow, wide = (forecast(use, with_knee(use, 100.0), END, knee_cells(), ("knee",), half) for half in (0.0, 0.02))
    assert wide.left == narrow.left
    assert wide.low < 0.95 * narrow.low
    assert wide.high > 1.05 * narrow.high


def test_about_nine_in_ten_of_exchangeable_cells_are_held() -> None:
    random = np.random.default_rng(1)
    use = np.arange(0.0, 400.0, 5.0)
    held = []
    for _ in range(60):
        knees = random.normal(100.0, 8.0, 16)
        past = [ReferenceCell(str(i), (), use, with_knee(use, knee)) for i, knee in enumerate(knees[1:])]
        own = np.arange(0.0, 75.0, 5.0)
        truth = use_at(use, with_knee(use, knees[0]), END) - own[-1]
        found = forecast(own, with_knee(own, knees[0]), END, past)
        held.append(found.low <= truth <= found.high)
    assert 0.8 <= np.mean(held) <= 1.0


@pytest.mark.parametrize(
    ("soh", "basis"),
    [
        ([0.9, 0.9], "2 check-ups are too few"),
        ([0.90, 0.91, 0.92, 0.93, 0.94], "no fade yet, and no earlier cells"),
        ([0.9, np.nan, 0.88, np.nan], "2 check-ups are too few"),
    ],
)
def test_where_nothing_is_known_nothing_is_said(soh: list[float], basis: str) -> None:
    found = forecast(np.arange(len(soh)), soh, END)
    assert np.isnan(found.left)
    assert found.basis == basis


def test_a_cell_at_its_end_has_nothing_left() -> None:
    found = forecast(np.arange(10.0), np.linspace(0.9, 0.75, 10), END)
    assert (found.left, found.low, found.high) == (0.0, 0.0, 0.0)


def test_one_low_reading_is_not_the_end() -> None:
    use = np.arange(0.0, 300.0)
    soh = straight(use)
    soh[50] = 0.5
    assert use_at(use, soh, END) == pytest.approx(200.0, abs=1.0)
    assert np.isnan(use_at(use, soh, 0.2))
    assert np.isnan(use_at(use, soh, 1.1))


def test_the_newest_checkups_say_where_the_cell_is() -> None:
    use = np.arange(0.0, 200.0, 5.0)
    now = trend(use, with_knee(use, 150.0))
    assert now.soh == pytest.approx(with_knee(use, 150.0)[-1], abs=1e-9)
    assert now.steepest <= now.slope <= now.flattest
