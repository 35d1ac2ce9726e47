"""Numbers measured from a cell's raw curves, which become columns of its check-ups."""
