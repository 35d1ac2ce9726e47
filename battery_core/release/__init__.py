"""Which version serves, and the package that predicts."""
