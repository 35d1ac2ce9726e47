"""Sampled Shapley values of any model of feature vectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_BATCH_ROWS = 2**15  # in one forward pass


def shapley(model: Callable[[Array], Array], x: Array, background: Array, seed: int = 0) -> tuple[Array, Array]:
    """Return the contribution of each feature to the difference of an estimate from the mean of the background.

    A walk starts at a background row and replaces its features by those of the explained row, one after the other, in
    a random order. The change of the estimate at each step is the contribution of that feature. The mean over all
    orders and background rows is the Shapley value. Each background row is used twice, with a drawn order and its
    reverse (antithetic sampling). The contributions add up to ``model(x) - model(background).mean()``.

    Args:
        model: estimates, shape (M,), of rows, shape (M, F).
        x: the rows to explain, shape (N, F).
        background: rows that replace missing features, shape (B, F); more rows give a smaller error.
        seed: of the orders.

    Returns:
        Values and their standard errors, shape (N, F) each. The error includes the draw of orders and of background
        rows; it is NaN for a single background row.

    Reference:
        E. Strumbelj and I. Kononenko, Explaining prediction models and individual predictions with feature
        contributions, Knowledge and Information Systems 41 (2014), algorithm 1.

    Example:
        >>> values, _ = shapley(lambda x: x[:, 0] * 2 + x[:, 1], np.array([[1.0, 5.0]]), np.array([[0.0, 2.0]]))
        >>> values.tolist()
        [[2.0, 3.0]]
    """
    moving = np.flatnonzero((x != background[0]).any(axis=0) | (background != background[0]).any(axis=0))
    orders = np.random.default_rng(seed).permuted(np.tile(moving, (len(background), 1)), axis=1)
    step = max(1, _BATCH_ROWS // (2 * len(background)))
    pieces = [_pairs(model, x[i : i + step], background, orders) for i in range(0, len(x), step)]
    if not pieces:
        return np.zeros_like(x), np.zeros_like(x)
    values = [pairs.mean(axis=0) for pairs in pieces]
    return np.concatenate(values), np.concatenate([_standard_error(pairs) for pairs in pieces])


def _pairs(model: Callable[[Array], Array], x: Array, background: Array, orders: npt.NDArray[np.int64]) -> Array:
    """Return the mean of the two walks from each background row, shape (B, N, F); one forward pass a step."""
    walks = np.concatenate([orders, orders[:, ::-1]])  # (2B, steps)
    at = np.repeat(np.tile(background, (2, 1))[:, None], len(x), axis=1)  # (2B, N, F)
    before = np.repeat(np.tile(model(background), 2)[:, None], len(x), axis=1)  # (2B, N)
    gains, every, last = np.zeros_like(at), np.arange(len(walks)), walks.shape[1] - 1
    for step, feature in enumerate(walks.T):
        at[every, :, feature] = x[:, feature].T
        if step == last:  # every walk is at its explained row
            after = np.broadcast_to(model(x), before.shape)
        else:
            after = model(at.reshape(-1, x.shape[1])).reshape(before.shape)  # (2B*N, F) -> (2B, N)
        gains[every, :, feature] = after - before
        before = after
    first, second = np.split(gains, 2)
    both: Array = (first + second) / 2
    return both


def _standard_error(pairs: Array) -> Array:
    if len(pairs) < 2:
        return np.full(pairs.shape[1:], np.nan)
    error: Array = pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs))
    return error
