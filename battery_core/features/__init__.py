"""Features of check-ups: feature sets, scaling and sequences, each from rows of one cell up to the check-up."""
