"""Source of the NASA battery records."""
