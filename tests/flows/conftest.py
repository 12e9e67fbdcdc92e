"""Tiny checkpoints for every flow; nothing is fetched, nothing is left behind."""

from checkpoints import checkpoints, offline
from pages import browser, page

__all__ = ["browser", "checkpoints", "offline", "page"]
