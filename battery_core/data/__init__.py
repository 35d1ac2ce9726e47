"""Measured ageing data: sources, canonical tables, quality, splits and versions."""
