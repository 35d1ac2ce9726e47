"""What predictions are judged by; per cell first, since check-ups of one cell err together."""
