"""Source of the published LG M50T ageing data."""
