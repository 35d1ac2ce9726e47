"""Training stages: job specs, training jobs and the weighted ensemble."""
