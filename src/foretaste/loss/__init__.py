"""Losses as values: a task's loss, and everything that depends on its choice."""
