"""Evaluation of models on test cells, beside baselines and the leak probe."""
