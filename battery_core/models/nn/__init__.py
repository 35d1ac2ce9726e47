"""Building blocks of the neural networks: base class, sequences, ODE solver, batched ensembles."""
