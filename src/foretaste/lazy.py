"""Modules that are imported when they are first used, so that commands start at once."""

import importlib.util
import sys
from types import ModuleType

__all__ = ["lazy"]


def lazy(name: str) -> ModuleType:
    """A module whose code runs at the first use of one of its names.

    Args:
        name: Full name; its parent packages are imported now.

    Raises:
        ModuleNotFoundError: There is no such module.

    >>> lazy("foretaste.weights").uniform(["a"]).key
    'a=1'
    """
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"no module named {name!r}", name=name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
