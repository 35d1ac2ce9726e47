"""Schedules, and the commands that serve and check them."""
