"""Conformal intervals and the training domain."""
