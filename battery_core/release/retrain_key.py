"""One key for all inputs of a retraining run: a second run with the same key gives the same candidate."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from battery_core.code_version import code_version
from battery_core.predictors.settings import EnsembleSettings
from battery_core.release.settings import ReleaseSettings

_STAGES = (
    "battery_core.stages.training.ensemble:ensemble",
    "battery_core.stages.evaluation.evaluate:evaluate",
    "battery_core.stages.evaluation.select:select",
    "battery_core.stages.evaluation.report:report",
    "battery_core.stages.release.compare:compare",
    "battery_core.stages.release.promote:promote",
)
"""What shapes the outcome after training."""
_WITHOUT_EFFECT = {"retrain_only_if_new", "registered_model", "champion_timeout_s", "onnx"}


def retrain_key(
    data_version: str, job_keys: Iterable[str], policy: ReleaseSettings, ensemble: EnsembleSettings, dirty: bool
) -> str:
    """Return a hash of everything that the outcome of a retraining run depends on, except the champion.

    Args:
        data_version: of the raw data.
        job_keys: key of each training job: tables, split, settings and training code.
        policy: the promotion rule.
        ensemble: settings of the weighted ensemble.
        dirty: whether the code is not committed; such a model is not promoted, so the committed code runs again.

    Example:
        >>> settings = ReleaseSettings(), EnsembleSettings(), False
        >>> retrain_key("8c90", ["a", "b"], *settings) == retrain_key("8c90", ["b", "a"], *settings)
        True
        >>> retrain_key("8c90", ["a", "b"], *settings) == retrain_key("8c90", ["a"], *settings)
        False
    """
    rule = policy.model_dump(mode="json", exclude=_WITHOUT_EFFECT)
    code = code_version(*_STAGES)
    content = [data_version, sorted(job_keys), rule, ensemble.model_dump(mode="json"), dirty, code]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
