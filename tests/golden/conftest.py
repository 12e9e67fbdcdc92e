"""The golden studies fetch nothing, and leave nothing behind."""

from checkpoints import offline

__all__ = ["offline"]
