"""Data stages: fetch, normalize, split, snapshot, restore, inspect."""
