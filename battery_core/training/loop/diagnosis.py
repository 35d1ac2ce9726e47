"""Explanation of a non-finite loss: the cells and the cause."""

from __future__ import annotations

import torch
from torch import Tensor

from battery_core.training.loop.batches import Batch, ResidentData
from battery_core.training.loop.forward import ForwardPass


@torch.no_grad()
def describe_non_finite(
    quantity: str, epoch: int, number: int, data: ResidentData, rows: Tensor, forward: ForwardPass
) -> tuple[list[str], str]:
    """Return the cells with non-finite values in a batch, and one line with place, cause and advice."""
    batch = data.gather(rows)
    pred = forward.predict(batch)
    pred = pred if forward.n_members == 1 else pred.transpose(0, 1)  # (K, B, D) -> (B, K, D)
    causes = {
        "features": _bad_inputs(batch),
        "targets": _bad(batch.y),
        "the model's estimate": _bad(pred),
    }
    cause, flags = next(((name, bad) for name, bad in causes.items() if bad.any()), ("", None))
    chosen = rows if flags is None else rows[flags.cpu()]
    where = [data.meta[int(i)] for i in chosen]
    cells = sorted({meta.cell_id for meta in where})
    listed = ", ".join(f"cell '{m.cell_id}' check-up {m.checkup_index}" for m in where[:3])
    more = f" and {len(where) - 3} more" if len(where) > 3 else ""
    reason = f"because of {cause} of {listed}{more}" if cause else f"with finite rows ({listed}{more})"
    advice = (
        "mend or drop them" if cause in ("features", "targets") else "lower the learning rate, or clip the gradient"
    )
    place = f"epoch {epoch}, batch {number}"
    detail = f"{quantity} is not finite in {place}, {reason}: training stopped before the step - {advice}"
    return cells, detail


def _bad_inputs(batch: Batch) -> Tensor:
    """Return the rows with a non-finite feature that is not padding, shape (B,)."""
    bad = ~torch.isfinite(batch.x)
    if batch.mask is not None:
        bad = bad & batch.mask.unsqueeze(-1)  # (B, T, F)
    return bad.flatten(1).any(dim=1)


def _bad(values: Tensor) -> Tensor:
    return (~torch.isfinite(values)).flatten(1).any(dim=1)
