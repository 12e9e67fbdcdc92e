"""Surfaces: all evaluations of one study, and what they say. Pure functions over rows."""
