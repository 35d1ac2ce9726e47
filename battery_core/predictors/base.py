"""The contract of a SOH predictor: raw measured rows in, SOH with its interval and a domain check out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
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
    """Raw rows in, SOH out; what was fitted on training cells is saved with it."""

    model_name: str
    metadata: Mapping[str, Any]
    conformal: Conformal | None
    training_domain: TrainingDomain | None

    @property
    @abstractmethod
    def raw_columns(self) -> tuple[str, ...]:
        """Measured columns that a row must have."""

    @property
    @abstractmethod
    def member_weights(self) -> Sequence[float] | None:
        """Weight of each member in the mean; None where all weigh the same."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write it as JSON, model text and weights; nothing is pickled."""

    @abstractmethod
    def _features(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return features before scaling of rows whose columns were checked."""

    @abstractmethod
    def _predict_members(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return the SOH by each member, shape (K, N), of rows whose columns were checked."""

    def features(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the features of each row before scaling, shape (N, F).

        Raises:
            DataError: a measured column is missing.
        """
        check_columns(rows, self.raw_columns, self._context)
        return self._features(rows)

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return the SOH of each row, shape (N,); it depends on earlier rows of the same cell only.

        Raises:
            DataError: a measured column is missing.
        """
        return self._mean(self.predict_members(rows))

    def predict_members(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return the SOH by each member, shape (K, N); ``predict`` is their mean, weighted by ``member_weights``.

        Raises:
            DataError: a measured column is missing.
        """
        check_columns(rows, self.raw_columns, self._context)
        return self._predict_members(rows)

    def predict_interval(self, rows: pd.DataFrame, details: bool = False) -> pd.DataFrame:
        """Return the SOH of each row with its interval, and whether it is in the training domain; index of ``rows``.

        Columns soh, soh_lower, soh_upper, in_distribution; with ``details`` also soh_spread, the standard deviation
        over the members of an ensemble (NaN for a single model), and outside, the column furthest out of its range.

        Raises:
            DataError: a measured column is missing or in another unit.
            TrainingError: the predictor was never calibrated.
        """
        if self.conformal is None or self.training_domain is None:
            raise TrainingError(f"{self._context}: it was trained without intervals - train it anew with this code")
        check_columns(rows, self.raw_columns, self._context)
        check_magnitudes(rows, self.training_domain.limits, self._context)
        members = self._predict_members(rows)
        soh = self._mean(members)
        lower, upper = self.conformal.bounds(soh)
        ood_column = self.training_domain.ood_column(rows)
        columns = {"soh": soh, "soh_lower": lower, "soh_upper": upper, "in_distribution": ood_column == ""}
        if details:
            variance = np.average((members - soh) ** 2, axis=0, weights=self.member_weights)
            spread = np.sqrt(variance) if len(members) > 1 else np.full(len(rows), np.nan)
            columns |= {"soh_spread": spread, "outside": ood_column}
        return pd.DataFrame(columns, index=rows.index)

    def _mean(self, members: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        mean: npt.NDArray[np.float64] = np.average(members, axis=0, weights=self.member_weights)
        return mean

    @property
    def _context(self) -> str:
        return f"prediction with '{self.model_name}'"

    def _json_of_calibration(self) -> dict[str, Any]:
        """Return metadata, intervals and training domain as plain values; their keys are those of older packages."""
        return {
            "facts": dict(self.metadata),
            "conformal": self.conformal.to_json() if self.conformal else None,
            "training_range": self.training_domain.to_json() if self.training_domain else None,
        }

    @staticmethod
    def _calibration_from_json(content: Mapping[str, Any]) -> dict[str, Any]:
        """Return what ``_json_of_calibration`` wrote, by the names of the fields."""
        conformal, domain = content["conformal"], content["training_range"]
        return {
            "metadata": content["facts"],
            "conformal": Conformal.from_json(conformal) if conformal else None,
            "training_domain": TrainingDomain.from_json(domain) if domain else None,
        }


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turn errors of reading a predictor that other code may have written into one line.

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
