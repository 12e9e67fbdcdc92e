"""Choices of numbers that a merge needs, by validation loss; the study stores them with their curve."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.optimize import minimize_scalar

from foretaste.method_table import METHOD_TABLE
from foretaste.methods.diagonal import task_curvatures
from foretaste.methods.method import prior_of
from foretaste.methods.registry import find_method
from foretaste.methods.resident import place_merger
from foretaste.methods.site_set import SiteSet
from foretaste.plan import Recipe
from foretaste.store.study import Done, Json
from foretaste.work.context import Context
from foretaste.work.curvature import mean_curvature
from foretaste.work.judge import CHOOSING, describe_evaluation, objective
from foretaste.work.observer import Observer
from foretaste.work.results import Choice
from foretaste.work.work import Computation, Work

__all__ = ["ChoiceWork", "PriorPrecision", "choose_number", "is_tuned", "prior_precision", "tuned_precision"]

_DECADES = 4.0  # searched on either side of the tasks' mean curvature
_CLOSE = 0.15  # decades; a more exact delta changes no digit that matters
_TRIES = 4
_SHARES = (0.0, -0.5, 0.5, -1.0, 1.0)  # of the decades: tried first


class ChoiceWork(Computation[Choice]):
    """The choice of the number with the lowest validation loss; subclasses say which number."""

    kind = "choice"

    @abstractmethod
    def first(self, context: Context) -> tuple[float, ...]:
        """Return the numbers that are tried first; the first of them wins a tie."""

    @abstractmethod
    def loss_of(self, context: Context) -> Callable[[float], float]:
        """Make a function from a number to its validation loss."""

    @abstractmethod
    def own_inputs(self, context: Context) -> dict[str, object]:
        """Return everything else that the choice depends on, beside the data and the numbers tried."""

    def size(self, context: Context) -> int:
        return len(_SHARES) + _TRIES

    def inputs(self, context: Context) -> dict[str, object]:
        tries = [*self.first(context), _TRIES]
        common = {
            "what": self.stage,
            "rows": CHOOSING,
            "tries": tries,
            "seed": context.recipe.seed,
            **describe_evaluation(context),
        }
        return {**self.own_inputs(context), **common}

    def make(self, context: Context, observer: Observer) -> tuple[Json, None]:
        loss, first = self.loss_of(context), self.first(context)

        def value(number: float) -> float:
            observer.stop_if_asked()
            validation_loss = loss(number)
            observer.advance(1)
            return validation_loss

        curve = choose_number(value, first, (min(first), max(first)))
        best, least = min(curve, key=lambda point: point[1])
        return {"value": best, "loss": least, "curve": [list(point) for point in sorted(curve)]}, None

    def read(self, context: Context, done: Done) -> Choice:
        return Choice.of(done)


def choose_number(
    value: Callable[[float], float], first: Sequence[float], bounds: tuple[float, float]
) -> list[tuple[float, float]]:
    """Search for the number with the lowest value between bounds.

    The search tries a few numbers first. Then Brent's bounded search goes on between the neighbours of the best one.

    Args:
        value: The function to minimise; a value that is not finite counts as 1e30.
        first: Numbers to try first, in this order.
        bounds: The bounds of the search.

    Returns:
        All numbers that were tried, in the order of the tries, with their values.

    References:
        Brent: Algorithms for Minimization without Derivatives, 1973, chapter 5.

    >>> curve = choose_number(lambda x: (x - 1) ** 2, (), (-4, 4))
    >>> round(min(curve, key=lambda point: point[1])[0], 1)
    1.0
    """
    curve: list[tuple[float, float]] = []

    def attempt(number: float) -> float:
        result = value(float(number))
        curve.append((float(number), result if math.isfinite(result) else 1e30))
        return curve[-1][1]

    for number in first:
        attempt(number)
    minimize_scalar(
        attempt, bounds=_around_best(bounds, curve), method="bounded", options={"xatol": _CLOSE, "maxiter": _TRIES}
    )
    return curve


def _around_best(bounds: tuple[float, float], curve: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the numbers on either side of the best one that was tried."""
    if not curve:
        return bounds
    tried = sorted({*bounds, *(number for number, _ in curve)})
    place = tried.index(min(curve, key=lambda point: point[1])[0])
    return tried[max(place - 1, 0)], tried[min(place + 1, len(tried) - 1)]


@dataclass(frozen=True)
class PriorPrecision(ChoiceWork):
    """The choice of the prior's precision delta for a method, in decades, by its previews' validation loss.

    Args:
        method: The method's name.
    """

    method: str

    stage = "prior precision"

    def __str__(self) -> str:
        return f"choosing the prior precision of method {self.method}"

    def needs(self, context: Context) -> tuple[Work[Any], ...]:
        return (*find_method(self.method).work(context), *task_curvatures(context).values())

    def first(self, context: Context) -> tuple[float, ...]:
        middle = math.log10(prior_precision(context))
        return tuple(middle + _DECADES * share for share in _SHARES)

    def own_inputs(self, context: Context) -> dict[str, object]:
        sites = find_method(self.method).sites(context)
        return {"method": self.method, "sites": sites.artefacts, **sites.options, **context.space.inputs}

    def loss_of(self, context: Context) -> Callable[[float], float]:
        sites = find_method(self.method).sites(context)

        def loss(decades: float) -> float:
            merger = place_merger(context, sites.under(prior_of(context, 10**decades)))
            return objective(context, lambda weights: merger.merge(weights).params)

        return loss


def is_tuned(recipe: Recipe) -> bool:
    """Return whether validation loss chooses the prior's precision.

    >>> from foretaste.recipe import parse
    >>> is_tuned(parse("{name: a, model: {source: digits}}"))
    True
    """
    return recipe.preview.prior_precision == "auto"


def prior_precision(context: Context) -> float:
    """Return the prior's precision without a search: the recipe's, or the mean diagonal curvature over all tasks.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study("preview: {prior_precision: 0.01}") as context:
    ...     prior_precision(context)
    0.01
    """
    precision = context.recipe.preview.prior_precision
    if not isinstance(precision, str):
        return float(precision)
    curvatures = task_curvatures(context).values()
    return context.remember(
        "mean curvature",
        tuple(curvature.done(context).artefact for curvature in curvatures),
        lambda: mean_curvature([curvature.site(context) for curvature in curvatures]),
    )


def tuned_precision(context: Context, method: str, sites: SiteSet) -> tuple[float, Done | None]:
    """Return the prior's precision for a method, and the finished work that chose it.

    Args:
        context: A context with the finished work.
        method: The method's name.
        sites: The method's sites.
    """
    if sites.precision is not None:
        return sites.precision, None
    if not METHOD_TABLE[method].has_curvature:
        return 1.0, None  # any prior gives the same preview
    if not is_tuned(context.recipe):
        return prior_precision(context), None
    choice = PriorPrecision(method).stored_result(context)
    return float(10**choice.value), choice.done
