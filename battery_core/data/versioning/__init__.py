"""Data versions by content hash, stored in the cache of DVC and copied to a remote."""
