"""Choice of the backend that runs the optimizer steps."""

from __future__ import annotations

import logging

import torch

from battery_core.training.callbacks import Hooks
from battery_core.training.fast.compiled import CompiledBackend
from battery_core.training.fast.fused import FusedBackend
from battery_core.training.fast.private_apis import TRIED_VERSIONS, unusable_apis
from battery_core.training.loop.backend import StepBackend
from battery_core.training.loop.eager import EagerBackend
from battery_core.training.loop.forward import ForwardPass
from battery_core.training.settings import TrainerSettings

logger = logging.getLogger(__name__)


def make_backend(
    forward: ForwardPass, optimizer: torch.optim.Optimizer, settings: TrainerSettings, hooks: Hooks
) -> StepBackend:
    """Return the backend that ``settings.backend`` names; ``auto`` is fused where torch has all it needs."""
    if settings.backend == "eager":
        return EagerBackend(forward, optimizer, settings, hooks)
    unusable = unusable_apis()
    if unusable:
        logger.warning(
            "trainer.backend: torch %s lacks or has changed %s (tried with %s): training runs eagerly, with the same "
            "numbers in more time", torch.__version__, ", ".join(unusable), ", ".join(TRIED_VERSIONS),
        )  # fmt: skip
    step_by_step = (EagerBackend if unusable else FusedBackend)(forward, optimizer, settings, hooks)
    return CompiledBackend(step_by_step) if settings.backend == "compiled" else step_by_step
