"""Settings of the run records."""

from __future__ import annotations

from battery_core.base_settings import SectionSettings, setting


class TrackingSettings(SectionSettings):
    """Set where runs are recorded in addition to the local run folder."""

    mlflow_uri: str = setting("", "MLflow tracking URI; empty: sqlite:///<artifacts>/mlflow.db")
    experiment: str = setting("soh-training", "MLflow experiment")
