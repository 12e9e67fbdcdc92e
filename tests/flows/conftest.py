"""Tiny checkpoints for every flow; nothing is fetched, nothing is left behind."""

from checkpoints import checkpoints, offline

__all__ = ["checkpoints", "offline"]
