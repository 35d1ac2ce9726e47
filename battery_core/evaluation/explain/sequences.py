"""Internal states of sequence models: attention over check-ups, and latent paths of ageing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from battery_core.features.sequences import SequenceIndex
from battery_core.models.lstm_attention import LSTMAttentionModel
from battery_core.models.neural_ode import NeuralODEModel
from battery_core.predictors.pipeline import Pipeline

Array = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LatentPaths:
    """Latent path of each of B cells up to its last check-up, at K times.

    Args:
        cells: names of the cells.
        time: in the unit of the model's time, shape (B, K).
        soh: estimate of the last check-up if the cell had aged until then, shape (B, K).
        plane: the two principal directions of the latent states, shape (B, K, 2).
    """

    cells: tuple[str, ...]
    time: Array
    soh: Array
    plane: Array


def attention_weights(pipeline: Pipeline, rows: pd.DataFrame, positions: Positions) -> Array:
    """Return the attention of estimates to the check-ups of one cell; each line sums to 1.

    Shape: the result (estimates, check-ups of the cell).

    Args:
        pipeline: of the LSTM.
        rows: all check-ups of one cell, in order.
        positions: of the check-ups that are estimated.
    """
    x, mask, t, index = _tensors(pipeline, rows, positions)
    with torch.no_grad():
        attention = (
            cast(LSTMAttentionModel, pipeline.model).explain(x, mask, t).mean(dim=1).numpy()
        )  # (B, heads, T) -> (B, T)
    weights = np.zeros((len(attention), len(rows)))
    np.add.at(weights, (np.arange(len(attention))[:, None], index.rows), np.where(index.mask, attention, 0.0))
    return weights


def latent_paths(pipeline: Pipeline, rows: pd.DataFrame) -> LatentPaths:
    """Return the latent path of each cell up to its last check-up, and the estimate along it.

    Of several members the first is taken: latent states of different members have no mean.

    Args:
        pipeline: of the neural ODE.
        rows: all check-ups of the cells, each cell's in order, with an index from 0.
    """
    last = rows.groupby("cell_id", sort=False).tail(1).index.to_numpy()
    x, mask, t, _ = _tensors(pipeline, rows, last)
    with torch.no_grad():
        path = cast(NeuralODEModel, pipeline.model).explain(x, mask, t)
    states = path.latent.numpy()
    flat = states.reshape(-1, states.shape[-1])
    _, _, directions = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    return LatentPaths(
        cells=tuple(str(cell) for cell in rows.loc[last, "cell_id"]),
        time=path.days.numpy(),
        soh=path.soh[..., 0].numpy() * pipeline.target_scale + pipeline.target_mean,
        plane=(states - flat.mean(axis=0)) @ directions[:2].T,  # (B, K, H) -> (B, K, 2): the largest variance
    )


def _tensors(
    pipeline: Pipeline, rows: pd.DataFrame, positions: Positions
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, SequenceIndex]:
    """Return features, mask and time of the check-ups as tensors, and the index of their rows."""
    scaled = pipeline.feature_pipeline.transform(rows)
    index = pipeline.feature_pipeline.sequence_index(rows).take(positions)
    return torch.from_numpy(index.gather(scaled)), torch.from_numpy(index.mask), torch.from_numpy(index.t), index
