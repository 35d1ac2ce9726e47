"""Fast paths of the training step, equal to eager execution to the bit."""
