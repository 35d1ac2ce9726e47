"""Public archives: download, verify, and read parts of remote files."""
