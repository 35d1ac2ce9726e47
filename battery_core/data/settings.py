"""Settings of the data: source, definition of SOH, quality limits, and split of cells."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator, model_validator

from battery_core.base_settings import SectionSettings, setting
from battery_core.data.cycler_settings import CyclerSettings
from battery_core.data.extraction.settings import ExtractionSettings
from battery_core.data.registries import SOURCES, SPLITS
from battery_core.data.tables.roles import SohReference
from battery_core.errors import unknown_name


class DataSettings(SectionSettings):
    """Set the source of measured (or simulated) cells and the definition of SOH.

    Example:
        >>> DataSettings(source="xjtu").soh_reference
        'nominal'
    """

    source: str = setting("simulated", "where the cells come from")
    reference_root: Path | None = setting(None, "folder with reference data on disk; none: download")
    zenodo_url: str = setting(
        "https://zenodo.org/api/records/10637534/files", "address of the lgm50t archives, for a mirror; /NAME/content"
    )
    download_cache: Path | None = setting(
        None, "folder that caches complete lgm50t files; none: the user's cache folder"
    )
    extraction: ExtractionSettings = Field(
        default_factory=ExtractionSettings, description="measurements taken from raw curves"
    )
    soh_reference: SohReference = setting("nominal", "capacity that counts as SOH 1.0: nominal or first_checkup")
    max_quarantine_share: float = setting(
        0.2, "largest share of quarantined rows that is still trusted", unit="fraction", ge=0.0, le=1.0
    )
    soh_min: float = setting(0.4, "SOH below this is flagged as implausible", unit="fraction", gt=0.0)
    soh_max: float = setting(1.05, "SOH above this is flagged as implausible", unit="fraction", gt=0.0)
    soh_max_step: float = setting(
        0.05, "larger SOH steps between check-ups are flagged: a knee or a fault", unit="fraction", gt=0.0
    )
    max_temperature_offset_K: float = setting(
        10.0, "a measured temperature further from the cell's set-point is flagged", unit="K", gt=0.0
    )
    workers: int = setting(0, "threads that read cells; 0: one a core, at most 4", ge=0, le=64)
    remote: str = setting(
        "", "second place for data versions: a folder, s3://bucket/path or a remote of .dvc/config; empty: none"
    )
    remote_endpoint_url: str = setting(
        "", "endpoint of an s3:// remote, such as http://nas:9000; empty: Amazon, or AWS_ENDPOINT_URL"
    )
    remote_region: str = setting("", "region of an s3:// remote; empty: as AWS_DEFAULT_REGION or the profile says")
    remote_timeout_s: float = setting(
        1800.0, "one try to copy to or from the remote that takes longer is stopped", unit="s", gt=0.0
    )
    keep_cells_days: float = setting(
        30.0, "read cells that no run has used for longer are deleted from data/cells", unit="d", gt=0.0
    )
    cycler: CyclerSettings = Field(default_factory=CyclerSettings, description="one's own cycler data (cycler_folder)")

    @field_validator("source")
    @classmethod
    def _is_known_source(cls, name: str) -> str:
        if name not in SOURCES:
            SOURCES[name]  # raises with the nearest names
        return name

    @model_validator(mode="after")
    def _endpoint_is_of_s3(self) -> DataSettings:
        url, place = self.remote_endpoint_url, self.remote
        if url and not url.startswith(("http://", "https://")):
            raise ValueError(f"remote_endpoint_url: expected http://... or https://..., got '{url}'")
        if place and not place.startswith("s3://") and (url or self.remote_region):
            raise ValueError(
                f"remote_endpoint_url and remote_region are of an s3:// remote, and data.remote is '{place}' - leave "
                "them empty, or write it as s3://bucket/path"
            )
        return self


class SplitSettings(SectionSettings):
    """Set how cells are divided into training, validation and test; always by cell, never by row.

    Example:
        >>> SplitSettings(strategy="temperature", test_temps_degC=[25]).test_temps_degC
        (25.0,)
    """

    strategy: str = setting("auto", "split strategy; auto: what the source recommends")
    seed: int = setting(0, "seed of every random choice of cells", ge=0)
    test_share: float = setting(0.2, "share of cells in test, for random", unit="fraction", gt=0.0, lt=1.0)
    val_share: float = setting(
        0.2, "share of the non-test cells in validation, where it is not named", unit="fraction", gt=0.0, lt=1.0
    )
    n_folds: int = setting(5, "number of folds, for grouped_kfold", ge=2)
    fold: int = setting(0, "which fold (grouped_kfold) or cell in name order (leave_one_cell_out) is test", ge=0)
    train_temps_degC: tuple[float, ...] = setting((), "training temperatures; none: all the others", unit="degC")
    val_temps_degC: tuple[float, ...] = setting((), "validation temperatures, for temperature", unit="degC")
    test_temps_degC: tuple[float, ...] = setting((), "test temperatures, for temperature", unit="degC")
    train_groups: tuple[str, ...] = setting((), "training groups (or protocols); none: all the others")
    val_groups: tuple[str, ...] = setting((), "validation groups (or protocols)")
    test_groups: tuple[str, ...] = setting((), "test groups (or protocols)")
    train_cells: tuple[str, ...] = setting((), "training cell ids, for fixed; none: all the others")
    val_cells: tuple[str, ...] = setting((), "validation cell ids, for fixed")
    test_cells: tuple[str, ...] = setting((), "test cell ids, for fixed")

    @field_validator("strategy")
    @classmethod
    def _is_known_strategy(cls, name: str) -> str:
        if name != "auto" and name not in SPLITS:
            raise unknown_name(SPLITS.kind, name, ["auto", *SPLITS])
        return name
