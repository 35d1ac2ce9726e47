"""The command line: settings as options, and the commands of ``python -m battery_core``."""
