"""Data sources: each reads the raw files of one source into canonical tables."""
