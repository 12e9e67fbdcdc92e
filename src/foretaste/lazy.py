"""Modules that are imported when they are first used, so that commands start at once.

The standard library's `LazyLoader` puts unfinished modules where others find them
(`inspect.getmodule` walks `sys.modules` and wakes them in the middle of other imports); this one
keeps them to itself.
"""

import importlib
from types import ModuleType

__all__ = ["lazy"]


class _Lazy(ModuleType):
    def __getattr__(self, name: str) -> object:
        return getattr(importlib.import_module(self.__name__), name)


def lazy(name: str) -> ModuleType:
    """A module whose code runs at the first use of one of its names.

    Args:
        name: Full name. A missing module is noticed at first use.

    >>> lazy("foretaste.weights").uniform(["a"]).key
    'a=1'
    """
    return _Lazy(name)
