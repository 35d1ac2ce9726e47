"""Feature contributions: Shapley values and importance."""
