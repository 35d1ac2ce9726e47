"""Where training happens."""

from __future__ import annotations

import torch

from battery_core.errors import TrainingError


def pick_device(name: str) -> torch.device:
    """The device that a setting names; ``auto`` takes cuda, then mps, then cpu.

    Raises:
        TrainingError: the device is not there.

    Example:
        >>> pick_device("cpu").type
        'cpu'
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in present.items() if there))
    if not present.get(name, False):
        there = ", ".join(kind for kind, is_there in present.items() if is_there)
        raise TrainingError(f"device '{name}' is not on this machine: expected 'auto' or one of {there}")
    return torch.device(name)
