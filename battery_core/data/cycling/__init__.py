"""Analysis of a time, voltage and current record: half cycles, check-ups and plausibility checks."""
