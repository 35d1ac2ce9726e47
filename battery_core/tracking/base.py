"""The interface of a run record."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from battery_core.errors import BatteryError

#: Ends of a run, as MLflow names them.
STATUSES = ("FINISHED", "FAILED", "KILLED")


class TrackingError(BatteryError):
    """Report that a run cannot be recorded or sent."""


class Tracker(ABC):
    """Record one run at a time: settings, metrics and files."""

    @property
    @abstractmethod
    def run_dir(self) -> Path | None:
        """Return the folder of the open run; None when no run is open."""

    @abstractmethod
    def start_run(self, name: str, config: Mapping[str, Any] | BaseModel | None = None) -> str:
        """Open a run and return its id."""

    @abstractmethod
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write numbers down; ``step`` is the epoch."""

    @abstractmethod
    def log_params(self, params: Mapping[str, Any]) -> None:
        """Write settings down."""

    @abstractmethod
    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Write labels down."""

    @abstractmethod
    def log_artifact(self, path: Path | str) -> None:
        """Store a file or folder with the run."""

    @abstractmethod
    def end_run(self, status: str = "FINISHED") -> None:
        """Close the run."""
