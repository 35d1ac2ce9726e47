"""SOH models, one a file."""
