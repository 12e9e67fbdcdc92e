"""Tiny checkpoints for the sources; nothing is fetched, nothing is left behind."""

from checkpoints import checkpoints, data_cache

__all__ = ["checkpoints", "data_cache"]
