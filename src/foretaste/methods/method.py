"""The interface of preview methods: the sites that stand in for the tasks, and the work behind them."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from foretaste.methods.site_set import SiteSet
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.work.context import Context
from foretaste.work.work import Work

__all__ = ["Method", "prior_of"]


class Method(ABC):
    """A way to preview.

    To add your own, write a subclass in your module and add a row to `foretaste.method_table`.

    Attributes:
        name: The name of its row.
    """

    name: ClassVar[str]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @abstractmethod
    def work(self, context: Context) -> tuple[Work[Any], ...]:
        """List the work that the sites rest on, before any of it is done."""

    @abstractmethod
    def sites(self, context: Context) -> SiteSet:
        """Make every task's site from finished work.

        Raises:
            StudyError: Some of the work is not finished.
        """


def prior_of(context: Context, precision: float) -> Gaussian:
    """Make the prior, a Gaussian around the pretrained params that tasks have.

    Args:
        context: A context with the model.
        precision: delta, on the scale of the mean loss.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as context:
    ...     prior_of(context, 0.5).precision.scale
    0.5
    """
    problem = context.problem
    return Gaussian(context.space.prior_mean(problem.model, problem.trained), Isotropic(precision))
