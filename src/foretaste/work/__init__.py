"""Kinds of work as values: plain data that says what to make, and where it stands in a study."""
