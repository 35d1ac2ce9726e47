"""Forecast of the remaining useful life."""
