"""Batches: every row once, in an order that follows from the seed, segments whole and in time order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from battery_core.data.samples.sample import Sample, SampleMeta, Samples
from battery_core.errors import DataError
from battery_core.training.loop.batches import ResidentData, checkup_times

CPU = torch.device("cpu")


def test_an_epoch_holds_every_row_once(make_samples: Callable[..., Samples]) -> None:
    samples = make_samples()
    data = ResidentData(samples, CPU)
    batches = list(data.batches(32, data.order([torch.Generator().manual_seed(1)])))
    assert [len(b.y) for b in batches] == [32, 28]
    got = torch.cat([b.x for b in batches])
    assert not torch.equal(got, data.rows.x)
    assert sorted(map(tuple, got.tolist())) == sorted(map(tuple, samples.x.tolist()))


def test_order_follows_from_the_seed_and_from_nothing_else(make_samples: Callable[..., Samples]) -> None:
    data = ResidentData(make_samples(), CPU)
    torch.manual_seed(1)
    first = data.order([torch.Generator().manual_seed(5)])
    torch.rand(3)
    assert torch.equal(first, data.order([torch.Generator().manual_seed(5)]))


def test_segments_are_consecutive_checkups_of_one_cell_in_time_order(make_samples: Callable[..., Samples]) -> None:
    samples = make_samples()
    shuffled = samples.take(np.random.default_rng(0).permutation(len(samples)))
    data = ResidentData(shuffled, CPU, along_cells=True, segment_length=4)
    order = data.order([torch.Generator().manual_seed(0)])
    assert sorted(order.tolist()) == list(range(60))
    batch = data.gather(order)
    assert batch.segment is not None
    assert batch.time is not None
    meta = [data.meta[i] for i in order]
    joined = (batch.segment[1:] == batch.segment[:-1]).tolist()
    assert sum(joined) == 6 * (3 + 3 + 1)  # 10 check-ups a cell: segments of 4, 4 and 2
    for i, same in enumerate(joined):
        if same:
            assert meta[i].cell_id == meta[i + 1].cell_id
            assert meta[i].checkup_index + 1 == meta[i + 1].checkup_index
            assert batch.time[i] < batch.time[i + 1]
    assert len(torch.unique(batch.segment)) == 18


def test_time_is_that_of_the_last_real_row() -> None:
    histories = [
        Sample(SampleMeta("a", 0), np.zeros((2, 1)), np.ones(1), t=np.array([3.0, 7.5])),
        Sample(SampleMeta("a", 1), np.zeros((3, 1)), np.ones(1), t=np.array([3.0, 7.5, 20.0])),
    ]
    assert checkup_times(Samples.stack(histories)).tolist() == [7.5, 20.0]


def test_a_missing_target_is_masked_and_a_row_without_label_is_kept() -> None:
    y = np.array([[1.0, np.nan], [0.9, 0.5], [np.nan, np.nan]])
    data = ResidentData(Samples(np.zeros((3, 2)), y, [SampleMeta("a", i) for i in range(3)]), CPU)
    assert data.rows.target_mask is not None
    assert data.rows.target_mask.tolist() == [[True, False], [True, True], [True, True]]
    assert data.rows.y[0].tolist() == [1.0, 0.0]
    assert torch.isnan(data.rows.y[2]).all()
    assert data.valid_counts(2) == [3, 2]


def test_counts_follow_the_order(make_samples: Callable[..., Samples]) -> None:
    data = ResidentData(make_samples(), CPU)
    assert data.valid_counts(25) == [25, 25, 10]


def test_no_samples_is_an_error() -> None:
    empty = Samples(np.zeros((0, 2)), np.zeros((0, 1)), [])
    with pytest.raises(DataError, match=r"training data: expected at least one sample, got none"):
        ResidentData(empty, CPU)
