"""Training, on one task or jointly under alpha."""
