"""Prefect tasks: one around each stage, no arithmetic."""
