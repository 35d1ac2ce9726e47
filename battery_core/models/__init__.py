"""SOH models, one module each."""
