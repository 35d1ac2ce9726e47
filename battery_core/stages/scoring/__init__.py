"""Scoring stages: SOH and remaining life of every cell."""
