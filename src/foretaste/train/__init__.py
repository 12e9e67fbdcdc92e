"""Training: one loop, one task alone, all tasks under alpha."""
