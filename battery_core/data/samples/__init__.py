"""What a model is trained on: check-ups as arrays."""
