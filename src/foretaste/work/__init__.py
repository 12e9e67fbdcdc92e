"""Kinds of work as values, and where a study keeps their results."""
