"""Data versions from content, kept in the cache of DVC and sent to a remote."""
