"""Evaluation stages: evaluate, explain, cross-validate, leaderboard."""
