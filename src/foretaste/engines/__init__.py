"""Engines: who runs a list of work."""
