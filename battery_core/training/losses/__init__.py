"""Losses between estimated and measured SOH."""
