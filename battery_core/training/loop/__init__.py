"""Parts of the training loop: batches, forward pass, state and history."""
