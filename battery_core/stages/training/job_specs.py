"""Build the training jobs of a run: a spec for each model, with everything its result depends on."""

from __future__ import annotations

from typing import Any

from battery_core.artifacts import StageResult
from battery_core.code_version import code_version
from battery_core.data.registries import SOURCES
from battery_core.features.base import feature_names
from battery_core.jobs import JobSpec, library_versions
from battery_core.models.registry import model_spec
from battery_core.settings import Settings
from battery_core.stages.common import stage_key
from battery_core.stages.training.train import train


def job_specs(settings: Settings, tables: StageResult, split: StageResult) -> list[JobSpec]:
    """Return a spec for each model of the settings; only sections that a model reads are in its key."""
    everything = settings.model_dump(mode="json")
    del everything["features"]["history_sets"]  # already in the feature sets of models with history features
    single = {name: value for name, value in everything["features"].items() if not name.startswith("history_")}
    code = code_version(train)
    data = {"source": settings.data.source, "soh_reference": settings.data.soh_reference}
    source = SOURCES.get(settings.data.source)

    def features(name: str) -> dict[str, Any]:
        spec = model_spec(name)
        section = everything["features"] if spec.takes_sequences else single
        return section | {"sets": list(feature_names(settings.features, source, spec.takes_history_features))}

    return [
        JobSpec(
            model=name,
            tables=str(tables.path),
            split=str(split.path),
            data_hash=stage_key(tables.version, split.version),
            settings={"seed": settings.seed, "data": data, "uncertainty": everything["uncertainty"]}
            | {"features": features(name)}
            | {section: everything[section] for section in model_spec(name).sections},
            code=code,
            runs=str(settings.folder("artifacts") / "runs"),
            libraries=library_versions(*model_spec(name).requirements),
        )
        for name in settings.models
    ]
