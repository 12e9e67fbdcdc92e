"""Losses as values: what a task's mean loss is, and all that depends on which one it is."""
