"""Battery State-of-Health models: data, features, training, evaluation, release. Never imports the orchestrator."""
