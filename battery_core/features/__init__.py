"""What a model sees of a check-up: computed row by row from the past of one cell only."""
