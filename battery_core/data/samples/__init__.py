"""Samples: check-ups as arrays for training; ``from battery_core.data.samples import Sample``."""

from battery_core.data.samples.from_rows import make_samples
from battery_core.data.samples.sample import Sample, SampleMeta, Samples

__all__ = ["Sample", "SampleMeta", "Samples", "make_samples"]
