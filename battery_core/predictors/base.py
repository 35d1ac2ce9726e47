"""What every model that serves says of raw measured rows: SOH, how far it may be off, whether it knows such cells."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import ValidationError

from battery_core.errors import DataError, TrainingError
from battery_core.predictors.input_validation import check_columns, check_magnitudes
from battery_core.uncertainty.conformal import Conformal
from battery_core.uncertainty.training_domain import TrainingDomain


class SohPredictor(ABC):
    """Raw rows in, SOH out; what was fitted on training cells travels with it."""

    model_name: str
    raw_columns: tuple[str, ...]
    facts: Mapping[str, Any]
    conformal: Conformal | None
    training_range: TrainingDomain | None
    shares: tuple[float, ...] | None = None
    """How much each member counts; alike when None."""

    @abstractmethod
    def members(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """SOH by each member, shape (K, N); their mean, weighted by ``shares``, is the estimate."""

    @abstractmethod
    def features(self, rows: pd.DataFrame) -> pd.DataFrame:
        """What the model is told of each row before scaling, shape (N, F)."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write it as JSON, model text and weights; nothing is pickled."""

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """SOH of each row, shape (N,); a row's prediction uses earlier rows of its own cell only.

        Raises:
            DataError: a measured column is missing.
        """
        soh: npt.NDArray[np.float64] = np.average(self.members(rows), axis=0, weights=self.shares)
        return soh

    def estimate(self, rows: pd.DataFrame, details: bool = False) -> pd.DataFrame:
        """SOH of each row with its interval, and whether the row looks like those of training; index of ``rows``.

        Columns soh, soh_lower, soh_upper, in_distribution; with ``details`` also soh_spread, the standard deviation
        over the members of an ensemble (NaN for a single model), and outside, the column furthest out of its range.

        Raises:
            DataError: a measured column is missing or in another unit.
            TrainingError: the pipeline was never calibrated.
        """
        if self.conformal is None or self.training_range is None:
            raise TrainingError(
                f"prediction with '{self.model_name}': it was trained without intervals - train it anew with this code"
            )
        check_columns(rows, self.raw_columns, self._who)
        check_magnitudes(rows, self.training_range.limits, self._who)
        members = self.members(rows)
        soh = np.average(members, axis=0, weights=self.shares)
        lower, upper = self.conformal.bounds(soh)
        outside = self.training_range.outside(rows)
        found = {"soh": soh, "soh_lower": lower, "soh_upper": upper, "in_distribution": outside == ""}
        if details:
            variance = np.average((members - soh) ** 2, axis=0, weights=self.shares)
            spread = np.sqrt(variance) if len(members) > 1 else np.full(len(rows), np.nan)
            found |= {"soh_spread": spread, "outside": outside}
        return pd.DataFrame(found, index=rows.index)

    @property
    def _who(self) -> str:
        return f"prediction with '{self.model_name}'"


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Reading a model that other code may have written.

    Raises:
        DataError: this code cannot read it.
    """
    try:
        yield
    except (KeyError, TypeError, ValidationError) as err:
        reason = " ".join(str(err).split())[:200]
        raise DataError(
            f"pipeline in '{folder}': other code wrote it, this code cannot read it ({reason}) - use the code it "
            "was made with, or take its alias away in MLflow and train anew"
        ) from err
