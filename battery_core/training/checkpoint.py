"""Checkpoints: written atomically, loaded without pickle, complete for resuming a run."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from battery_core.errors import TrainingError

BEST, LAST = "best.pt", "last.pt"
FORMAT = 1


def save_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint to a temporary file and rename it, so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        torch.save(content | {"format": FORMAT}, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path | str, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint; of a folder the ``last.pt`` inside it or inside its ``checkpoints``.

    Raises:
        TrainingError: there is none, or the file is not a checkpoint.
    """
    file = _resolve(Path(path))
    try:
        content = torch.load(file, map_location=device, weights_only=True)
    except pickle.UnpicklingError as err:
        raise TrainingError(f"checkpoint '{file}' holds more than tensors and plain values: it is refused") from err
    except (RuntimeError, EOFError, ValueError, KeyError) as err:
        raise TrainingError(f"checkpoint '{file}' cannot be read: {err} - take an older one") from err
    if not isinstance(content, dict) or "model_state_dict" not in content:
        raise TrainingError(f"checkpoint '{file}': expected a 'model_state_dict' in it, found none")
    return content


def load_weights(model: torch.nn.Module, path: Path | str) -> None:
    """Load the weights of a checkpoint file into a model.

    Raises:
        TrainingError: the weights are of another model.
    """
    apply_weights(model, load_checkpoint(path)["model_state_dict"])


def apply_weights(model: torch.nn.Module, weights: dict[str, Tensor]) -> None:
    """Load weights into a model.

    Raises:
        TrainingError: the weights are of another model.
    """
    try:
        model.load_state_dict(weights)
    except RuntimeError as err:
        raise TrainingError(f"the checkpoint is of another model: {' '.join(str(err).split())}") from err


def clone_state(model: torch.nn.Module) -> dict[str, Tensor]:
    """Return a copy of the weights, on their device."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of every random generator a training may use, as tensors and plain values."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    version, internal, gauss_next = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [
            str(kind),
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ],
        "python": [version, torch.tensor(internal, dtype=torch.int64), gauss_next],
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore the state that ``random_state`` returned."""
    torch.set_rng_state(state["torch"].cpu())
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), *rest))
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal.tolist()), gauss_next))
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


def _resolve(path: Path) -> Path:
    for file in (path, path / LAST, path / "checkpoints" / LAST):
        if file.is_file():
            return file
    raise TrainingError(f"checkpoint '{path}': there is no such file, and no '{LAST}' in it - train first")
