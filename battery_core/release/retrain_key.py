"""What made a candidate, as one key: a night with the same key can come to nothing new."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from battery_core.code_version import code_version
from battery_core.predictors.settings import EnsembleSettings
from battery_core.release.settings import ReleaseSettings

RETRAIN_KEY_TAG = "night_key"
"""Tag of a model version."""
_STAGES = (
    "battery_core.stages.training.ensemble:ensemble",
    "battery_core.stages.evaluation.evaluate:evaluate",
    "battery_core.stages.evaluation.select:select",
    "battery_core.stages.evaluation.report:report",
    "battery_core.stages.release.compare:compare",
    "battery_core.stages.release.promote:promote",
)
"""What shapes the outcome after training."""
_NO_PART = {"retrain_only_if_new", "registered_model", "champion_timeout_s", "onnx"}


def retrain_key(
    data_version: str, job_keys: Iterable[str], policy: ReleaseSettings, blend: EnsembleSettings, dirty: bool
) -> str:
    """Hash of everything a night's outcome depends on but the champion.

    Args:
        data_version: of the raw data.
        job_keys: key of each training job: tables, split, settings and training code.
        policy: what a newcomer has to show.
        blend: how the models are mixed.
        dirty: code that is not committed may not serve: once committed, the same code gets its night.

    Example:
        >>> given = ReleaseSettings(), EnsembleSettings(), False
        >>> retrain_key("8c90", ["a", "b"], *given) == retrain_key("8c90", ["b", "a"], *given)
        True
        >>> retrain_key("8c90", ["a", "b"], *given) == retrain_key("8c90", ["a"], *given)
        False
    """
    rule = policy.model_dump(mode="json", exclude=_NO_PART)
    code = code_version(*_STAGES)
    content = [data_version, sorted(job_keys), rule, blend.model_dump(mode="json"), dirty, code]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
