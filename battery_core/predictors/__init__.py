"""Predict SOH from raw measured rows: feature pipeline, model and intervals."""
