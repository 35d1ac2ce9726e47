"""Rows, features and labels become samples in the same order."""

import numpy as np
import pandas as pd
import pytest

from battery_core.data.samples.from_rows import make_samples
from battery_core.data.samples.sample import Sample, SampleMeta, Samples
from battery_core.errors import DataError

ROWS = pd.DataFrame(
    {"cell_id": ["A", "A", "B"], "checkup_index": [0, 1, 0], "ambient_temperature_degC": [10.0, 10.0, 25.0]}
)


def test_samples_keep_order_and_meta():
    samples = make_samples(pd.DataFrame({"f": [1.0, 2.0, 3.0], "g": 0.0}), pd.Series([0.9, 0.8, 0.7]), ROWS)
    assert (samples.x.shape, samples.y.shape, samples.x.dtype) == ((3, 2), (3, 1), np.float32)
    assert samples[2].meta == SampleMeta("B", 0, 25.0, "")
    assert samples[1].y == pytest.approx([0.8])
    np.testing.assert_array_equal(np.vstack([s.x for s in samples]), samples.x)


def test_parts_that_do_not_belong_together_are_refused():
    with pytest.raises(DataError, match="2 feature rows, 3 labels, 3 raw rows"):
        make_samples(pd.DataFrame({"f": [1.0, 2.0]}), pd.Series([0.9, 0.8, 0.7]), ROWS)
    with pytest.raises(DataError, match="cell 'B' has a row without SOH"):
        make_samples(pd.DataFrame({"f": [1.0, 2.0, 3.0]}), pd.Series([0.9, 0.8, np.nan]), ROWS)


def test_slices_masks_and_stacking():
    samples = make_samples(pd.DataFrame({"f": [1.0, 2.0, 3.0]}), pd.Series([0.9, 0.8, 0.7]), ROWS)
    assert isinstance(samples[1:], Samples)
    assert samples[1:].cell_ids == ["A", "B"]
    assert samples.take(np.array([True, False, True])).cell_ids == ["A", "B"]
    again = Samples.stack(list(samples))
    np.testing.assert_array_equal(again.x, samples.x)
    with pytest.raises(DataError, match=r"one feature dimension, got \[1, 2\]"):
        Samples.stack([samples[0], Sample(SampleMeta("C"), np.zeros(2), np.zeros(1))])
    with pytest.raises(DataError, match="expected at least one"):
        Samples.stack([])


def test_histories_are_padded_with_a_mask_and_no_step_back_in_time():
    long = Sample(SampleMeta("A"), np.ones((3, 2)), [0.9], t=np.array([0.0, 5.0, 9.0]))
    short = Sample(SampleMeta("B"), np.ones((1, 2)), [0.8], t=np.array([4.0]))
    samples = Samples.stack([long, short])
    assert samples.mask.tolist() == [[True, True, True], [True, False, False]]
    assert samples.t.tolist() == [[0.0, 5.0, 9.0], [4.0, 4.0, 4.0]]
