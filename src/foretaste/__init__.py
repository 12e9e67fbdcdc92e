"""foretaste: taste task weights before baking.

Train one model per task, merge their posteriors for any task weights in moments, see every
task's metric over all weightings, and how far to trust that against joint finetuning.

Import from the module that has the thing: ``from foretaste.merge import merge``,
``from foretaste.weights import TaskWeights``. This file imports nothing, so that the command
line starts at once.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
