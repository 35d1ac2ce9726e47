"""Settings of the models; importable without torch or LightGBM."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from battery_core.base_settings import SectionSettings, setting

Activation = Literal["relu", "gelu", "silu", "tanh"]
Init = Literal["torch", "xavier", "he"]


class LGBMSettings(SectionSettings):
    """LightGBM: boosted trees on the features of one check-up."""

    n_estimators: int = setting(500, "Most trees; early stopping keeps fewer", ge=1)
    learning_rate: float = setting(0.05, "Shrinkage of each tree", gt=0)
    num_leaves: int = setting(31, "Most leaves of a tree", ge=2)
    max_depth: int = setting(-1, "Deepest branch; -1 sets no limit", ge=-1)
    min_child_samples: int = setting(20, "Fewest check-ups in a leaf", ge=1)
    subsample: float = setting(1.0, "Share of check-ups each tree sees", gt=0, le=1)
    colsample_bytree: float = setting(1.0, "Share of features each tree sees", gt=0, le=1)
    reg_alpha: float = setting(0.0, "L1 penalty on leaf values", ge=0)
    reg_lambda: float = setting(0.0, "L2 penalty on leaf values", ge=0)
    early_stopping_rounds: int | None = setting(
        50, "Trees without a better validation loss before boosting stops; null never stops early", ge=1
    )
    objective: Literal["regression", "regression_l1", "huber", "mape"] = setting("regression", "Loss that is boosted")
    categorical_features: tuple[int, ...] = setting((), "Columns whose whole numbers are categories")
    seed: int = setting(0, "Seed of row and feature sampling", ge=0)
    num_threads: int = setting(0, "Processor threads; 0 takes what OpenMP is given", ge=0)


class MLPSettings(SectionSettings):
    """Multi-layer perceptron on the features of one check-up."""

    hidden_dims: tuple[int, ...] = setting((64, 32), "Width of each hidden layer")
    dropout: float = setting(0.1, "Share of hidden units dropped while training", ge=0, lt=1)
    activation: Activation = setting("relu", "Nonlinearity of the hidden layers")
    init: Init = setting("torch", "Initial weights: torch's own, Xavier or He")
    n_members: int = setting(1, "Networks trained at once from different seeds; their mean is the estimate", ge=1)


class KernelRidgeSettings(SectionSettings):
    """Kernel ridge regression on the features of one check-up."""

    n_landmarks: int = setting(2000, "Most training check-ups it keeps, the same number of every cell", ge=1)
    length_scales: tuple[float, ...] = setting(
        (1.0, 1.6, 2.5),
        "Distances over which the SOH varies; validation cells choose one. 1 is one spread in every feature",
        min_length=1,
    )
    alphas: tuple[float, ...] = setting(
        (0.002, 0.006, 0.02, 0.06),
        "Variances of the label noise as shares of the variance of SOH; validation cells choose one",
        min_length=1,
    )
    linear: float = setting(0.05, "Weight of the linear kernel beside the Matern kernel", ge=0)
    clip_quantile: float = setting(
        0.001,
        "Features are clipped to this quantile of the training rows and its mirror",
        unit="fraction",
        ge=0,
        lt=0.5,
    )

    @field_validator("length_scales", "alphas")
    @classmethod
    def _are_positive(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if min(values) <= 0:
            raise ValueError(f"each must be above 0, got {', '.join(map(str, values))}")
        return tuple(dict.fromkeys(values))


class LSTMSettings(SectionSettings):
    """Bidirectional LSTM with self-attention over a cell's history."""

    hidden_dim: int = setting(64, "Width of each direction of the LSTM", ge=1)
    num_layers: int = setting(1, "LSTM layers on top of each other", ge=1)
    n_heads: int = setting(4, "Attention heads; they divide twice the width", ge=1)
    head_dims: tuple[int, ...] = setting((128, 64), "Width of each layer between the state and SOH")
    dropout: float = setting(0.1, "Share of units dropped while training", ge=0, lt=1)
    init: Init = setting("torch", "Initial weights: torch's own, Xavier or He")
    n_members: int = setting(1, "Networks trained at once from different seeds; their mean is the estimate", ge=1)


class NeuralODESettings(SectionSettings):
    """Latent state that ages in continuous time."""

    latent_dim: int = setting(16, "Width of the latent state", ge=1)
    hidden_dim: int = setting(32, "Width of the encoder and of the rate network", ge=1)
    head_dims: tuple[int, ...] = setting((128, 64), "Width of each layer between the state and SOH")
    solver: Literal["rk4", "euler", "midpoint", "dopri5", "bosh3", "adaptive_heun"] = setting(
        "rk4", "Integrator; dopri5, bosh3 and adaptive_heun choose their steps by the tolerances"
    )
    n_steps: int = setting(4, "Steps of a fixed-step solver over a sample's whole time", ge=1)
    rtol: float = setting(1e-3, "Relative tolerance of an adaptive solver", gt=0)
    atol: float = setting(1e-4, "Absolute tolerance of an adaptive solver", gt=0)
    adjoint: bool = setting(False, "Gradient by the adjoint equation: less memory, much more time")
    time_scale_days: float = setting(100.0, "Time in which the latent state moves by about itself", unit="days", gt=0)
    init: Init = setting("torch", "Initial weights: torch's own, Xavier or He")
    n_members: int = setting(1, "Networks trained at once from different seeds; their mean is the estimate", ge=1)
