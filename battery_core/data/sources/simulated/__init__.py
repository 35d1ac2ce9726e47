"""Source of the simulated cells that ship with the project."""
