"""Which cells train, validate and test; ``temperature_split`` does it for samples by hand."""

from battery_core.data.splits.make import temperature_split

__all__ = ["temperature_split"]
