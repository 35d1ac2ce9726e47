"""Number format of the forward pass, as one object with the verbs of a training step."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

_FORMATS = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Computes in float32, or in mixed precision with a scaler where the format needs one.

    Args:
        format: ``fp32``, ``bf16`` or ``fp16``; only fp16 scales the loss, because its range ends at 6e-5.
        device: where the model is.

    Example:
        >>> Precision("fp32", torch.device("cpu")).enabled
        False
    """

    def __init__(self, format: str, device: torch.device) -> None:
        self.format = format
        self.enabled = format in _FORMATS
        self._device_type = device.type
        self._plain: AbstractContextManager[Any] = nullcontext()
        self._scaler = torch.amp.GradScaler(device.type) if format == "fp16" else None

    @classmethod
    def choose(cls, use_amp: bool, amp_dtype: str, device: torch.device) -> Precision:
        """Return the precision that the settings request; without CUDA it is float32."""
        if not use_amp or device.type != "cuda":
            return cls("fp32", device)
        if amp_dtype == "auto":
            amp_dtype = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        return cls(amp_dtype, device)

    @property
    def name(self) -> str:
        """Name the number format of the forward pass: ``float32``, ``amp bfloat16`` or ``amp float16``.

        Example:
            >>> Precision("fp32", torch.device("cpu")).name
            'float32'
        """
        return f"amp {str(_FORMATS[self.format]).removeprefix('torch.')}" if self.enabled else "float32"

    @property
    def scales(self) -> bool:
        """Return whether gradients are scaled; a step with a non-finite gradient is then skipped, not an error."""
        return self._scaler is not None

    def forward_context(self) -> AbstractContextManager[Any]:
        """Return the context of a forward pass."""
        if not self.enabled:
            return self._plain
        return torch.autocast(self._device_type, dtype=_FORMATS[self.format])

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of a loss, scaled where the format needs it."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Bring gradients back to their true size, before they are clipped."""
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Take one optimizer step; a scaler skips it when a gradient is not finite."""
        if self._scaler is None:
            optimizer.step()
        else:
            self._scaler.step(optimizer)
            self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the scaler."""
        return {} if self._scaler is None else self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of the scaler."""
        if self._scaler is not None and state:
            self._scaler.load_state_dict(state)
