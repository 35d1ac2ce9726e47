"""Settings of the Trainer; importable without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from battery_core.base_settings import SectionSettings, setting


class TrainerSettings(SectionSettings):
    """Set how a SOH model is trained.

    Example:
        >>> TrainerSettings(epochs=5).batch_size
        32
    """

    epochs: int = setting(200, "Maximum training epochs; 0 trains nothing", ge=0)
    batch_size: int = setting(32, "Check-ups in one forward pass", ge=1)
    accumulate: int = setting(1, "Batches whose gradients are summed before one step: 4 x 64 equals 256", ge=1)
    learning_rate: float = setting(1e-3, "Initial learning rate", gt=0)
    weight_decay: float = setting(0.01, "Decoupled weight decay of AdamW", ge=0)
    decay_biases_and_norms: bool = setting(True, "Whether weight decay also acts on biases and normalisation weights")
    early_stopping_patience: int | None = setting(
        20, "Epochs without a better validation loss before training stops; null never stops early", ge=1
    )
    early_stopping_min_delta: float = setting(0.0, "By how much the validation loss has to fall to count", ge=0)
    gradient_clip: float | None = setting(1.0, "Largest global norm of the gradient; null does not clip", gt=0)
    use_amp: bool = setting(True, "Automatic mixed precision; without CUDA it is off")
    amp_dtype: Literal["auto", "bf16", "fp16"] = setting(
        "auto", "Number format of mixed precision; auto takes bf16 where the GPU has it, else fp16 with a scaler"
    )
    scheduler_T0: int = setting(
        50, "First period of the cosine learning rate, then twice, four times...", ge=1, unit="epochs"
    )
    seed: int = setting(0, "Seed of batch order, dropout and everything else that is random", ge=0)
    device: Literal["auto", "cpu", "cuda", "mps"] = setting(
        "auto", "Where to train; auto takes cuda, then mps, then cpu"
    )
    backend: Literal["auto", "eager", "compiled"] = setting(
        "auto",
        "How steps run: eager is the reference; auto gives the same bits in less time; compiled puts several steps "
        "into one call, for tiny models and many epochs",
    )
    compile_steps: int = setting(8, "Optimizer steps in one call of the compiled backend", ge=1)
    eval_batch_size: int = setting(4096, "Check-ups in one forward pass without gradient", ge=1)
    checkpoint_every: int = setting(1, "Epochs between two writes of last.pt", ge=1)
    pretrained: Path | None = setting(None, "Checkpoint whose model_state_dict the training starts from")
    progress: bool = setting(True, "Progress bar; always quiet when the output is not a terminal")
