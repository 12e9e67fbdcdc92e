"""foretaste: taste task weights before baking.

Train one model per task, merge their posteriors for any task weights in moments, see every task's metric over all
weightings, and how far to trust that against joint finetuning::

    import foretaste as ft

    study = ft.Study("runs/sentiment", "study.yaml")
    study.preview(points=66)
    best = study.search(joint=5, prefer="mean", floors=["all>=97%"])
    study.plot()
    study.export("out", best.weights)

A name is imported when it is first used, so that ``import foretaste`` and the command line start at once. Inside the
package, names are imported from the module that has them.
"""

import sys
from types import ModuleType

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]


class _Package(ModuleType):
    """Keeps public functions in front of modules of the same name, which Python would put there once imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
