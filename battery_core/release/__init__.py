"""Model release: comparison, promotion, registry, and the package of a predictor."""
