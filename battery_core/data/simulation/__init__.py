"""Simulated LG M50T ageing data from PyBaMM (the ``simulate`` extra), in the folder layout of the real data."""

from battery_core.data.simulation.run import simulate

__all__ = ["simulate"]
