"""Release stages: compare, register, promote, roll back."""
