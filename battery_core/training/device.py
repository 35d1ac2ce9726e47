"""Choice and name of the device to train on."""

from __future__ import annotations

import torch

from battery_core.errors import TrainingError


def pick_device(name: str) -> torch.device:
    """Return the device that a setting names; ``auto`` takes cuda, then mps, then cpu.

    Raises:
        TrainingError: the device is not there.

    Example:
        >>> pick_device("cpu").type
        'cpu'
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, is_there in available.items() if is_there))
    if not available.get(name, False):
        names = ", ".join(kind for kind, is_there in available.items() if is_there)
        raise TrainingError(f"device '{name}' is not on this machine: expected 'auto' or one of {names}")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """Return the device for a record; a GPU with its index and product name, such as ``cuda:0 NVIDIA H100``.

    Example:
        >>> device_name(torch.device("cpu"))
        'cpu'
    """
    if device.type != "cuda":
        return str(device)
    index = torch.cuda.current_device() if device.index is None else device.index
    return f"cuda:{index} {torch.cuda.get_device_name(index)}"
