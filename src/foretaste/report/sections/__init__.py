"""What each report says, as plain data that the writers lay out."""
