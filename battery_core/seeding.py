"""Derive all randomness from one seed."""

from __future__ import annotations

import hashlib
import random

import numpy as np


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and, where it is already in use, torch (every device)."""
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a separate seed for one component of a run, the same on every machine.

    Example:
        >>> derive_seed(0, "mlp") == derive_seed(0, "mlp"), derive_seed(0, "mlp") == derive_seed(1, "mlp")
        (True, False)
    """
    text = ":".join(str(name) for name in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
