"""Source for your own cycler exports."""
