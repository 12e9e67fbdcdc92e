"""Tiny checkpoints to be like; nothing is fetched, nothing is left behind."""

from checkpoints import checkpoints, offline

__all__ = ["checkpoints", "offline"]
