"""Settings of scoring, of cross-validation and of the leaderboard: what is flagged, how many folds and seeds."""

from __future__ import annotations

from battery_core.base_settings import SectionSettings, setting

BASELINE_NAMES = ("train_mean", "linear_throughput", "persistence")
"""Keys of ``battery_core.evaluation.baselines.BASELINES``, for settings: they import neither numpy nor pandas."""


class ScoreSettings(SectionSettings):
    """What the daily scoring says of cells."""

    newest: int = setting(1, "newest check-ups of each cell that get a row in the table of scores", ge=1)
    end_of_life: float = setting(0.8, "SOH at which a cell has reached its end of life", unit="fraction", gt=0, lt=1)
    near: float = setting(
        0.02, "a cell is flagged as near its end of life from this far above it", unit="fraction", ge=0, lt=1
    )
    forecast_coverage: float = setting(
        0.9, "share of cells that the interval of a forecast is meant to hold", unit="fraction", gt=0, lt=1
    )


class CrossValidationSettings(SectionSettings):
    """How models are compared by cross-validation."""

    folds: int = setting(5, "folds of cells; 0: leave one cell out", ge=0)
    seeds: int = setting(1, "seeds each model is trained with in each fold, counted from seed", ge=1)
    with_test_cells: bool = setting(
        False, "also the cells that are frozen as test cells; a model chosen so has seen its test"
    )


class LeaderboardSettings(SectionSettings):
    """How models are compared on public cells."""

    seeds: int = setting(5, "seeds each model is trained with on each board, counted from seed", ge=1)
    published_seeds: int = setting(3, "seeds under the published, leaking protocol, counted from seed", ge=1)
    train: bool = setting(True, "train what is missing; false: report the seeds that have ended")
