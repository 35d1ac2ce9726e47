"""Losses between estimated and measured SOH, by name in ``LossRegistry``."""
