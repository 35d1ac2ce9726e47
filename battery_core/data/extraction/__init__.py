"""Measurements extracted from raw curves of a cell, which become columns of its check-ups."""
