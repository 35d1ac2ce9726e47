"""Quality rules on check-ups: flag, or quarantine with a reason."""
