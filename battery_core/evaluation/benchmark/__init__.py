"""Benchmarks of the leaderboard and how their runs are aggregated."""
