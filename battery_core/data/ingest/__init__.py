"""Incremental loading: a cell is read again only when its files, settings or code changed."""
