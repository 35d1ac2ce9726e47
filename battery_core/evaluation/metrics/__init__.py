"""Metrics of predictions: per cell first, because errors of check-ups of one cell are correlated."""
