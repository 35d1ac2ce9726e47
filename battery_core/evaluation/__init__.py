"""How good a model is on cells it never saw, beside baselines and the leak probe."""
