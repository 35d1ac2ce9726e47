"""Schedules, and the commands that run and check them."""
