"""Division of cells into training, validation and test; ``temperature_split`` divides samples."""

from battery_core.data.splits.make import temperature_split

__all__ = ["temperature_split"]
