"""Parts of the neural networks: base class, sequences, ODE solver, members side by side."""
