"""What a record of time, voltage and current says: half cycles, check-ups, and whether its physics can be right."""
