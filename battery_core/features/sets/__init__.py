"""Feature sets, one subject a module."""
