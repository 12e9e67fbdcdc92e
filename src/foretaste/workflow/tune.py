"""Numbers that a merge needs and nothing knows beforehand, chosen on validation loss and kept with their curve."""

import math
from collections.abc import Callable, Mapping, Sequence

from scipy.optimize import minimize_scalar

from foretaste.engine import do
from foretaste.params import parameters_of, snapshot
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.store.study import Done
from foretaste.workflow.fit import Fitted, prior_precision
from foretaste.workflow.judge import CHOOSING, judged_by, objective
from foretaste.workflow.made import Made
from foretaste.workflow.resident import resident
from foretaste.workflow.session import Session

__all__ = ["around", "chosen", "tuned_precision"]

_DECADES = 4.0  # searched on either side of the tasks' mean curvature
_CLOSE = 0.15  # decades: a finer delta changes no digit that matters
_TRIES = 4


def around(session: Session, precision: float) -> Gaussian:
    """The prior: a Gaussian around the pretrained params, of those that tasks have.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         around(session, 0.5).precision.scale
    0.5
    """
    return Gaussian(snapshot(parameters_of(session.problem.model, session.problem.trained)), Isotropic(precision))


def chosen(
    session: Session,
    label: str,
    inputs: Mapping[str, object],
    value: Callable[[float], float],
    bounds: tuple[float, float],
    also: tuple[float, ...] = (),
) -> Done:
    """The number of least loss between bounds, or found in the study.

    The losses of a few given numbers say where to look; Brent's bounded search goes on between the
    neighbours of the best one.

    Args:
        session: The recipe at work.
        label: What is chosen, for whoever looks on.
        inputs: What else the choice depends on.
        value: The loss of a number.
        bounds: Of the search.
        also: Numbers tried first; the first wins a tie.

    Returns:
        Work whose result has ``value`` (the number), ``loss``, and ``curve``: all numbers tried, with their losses.

    References:
        Brent: Algorithms for Minimization without Derivatives, 1973, chapter 5.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         round(chosen(session, "a number", {}, lambda x: (x - 1) ** 2, (-4, 4)).result["value"], 1)
    1.0
    """

    def make() -> tuple[dict[str, object], None]:
        curve: list[tuple[float, float]] = []

        def tried(number: float) -> float:
            loss = value(float(number))
            curve.append((float(number), loss if math.isfinite(loss) else 1e30))
            session.watch.advance(1)
            return curve[-1][1]

        session.watch.begin(label, len(also) + _TRIES)
        for number in also:
            tried(number)
        minimize_scalar(tried, bounds=_within(bounds, curve), method="bounded", options={"xatol": _CLOSE, "maxiter": _TRIES})
        session.watch.advance(len(also) + _TRIES - len(curve))
        best, loss = min(curve, key=lambda point: point[1])
        return {"value": best, "loss": loss, "curve": [list(point) for point in sorted(curve)]}, None

    how = {"what": label, "rows": CHOOSING, "tries": [*also, _TRIES], "seed": session.recipe.seed, **judged_by(session)}
    return do(session.study, "choice", {**inputs, **how}, make, session.watch)


def _within(bounds: tuple[float, float], curve: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The numbers on either side of the best one tried."""
    known = sorted({*bounds, *(number for number, _ in curve)})
    best = min(curve, key=lambda point: point[1], default=(bounds[0], 0.0))[0]
    place = known.index(best)
    low, high = known[max(place - 1, 0)], known[min(place + 1, len(known) - 1)]
    return (low, high) if curve else bounds


def tuned_precision(session: Session, fitted: Mapping[str, Fitted], method: str, made: Made) -> tuple[float, Done | None]:
    """The prior's precision delta for a method: as the recipe says, or chosen by validation loss.

    Chosen is the one whose previews have the lowest validation loss (`foretaste.workflow.judge.objective`).

    Args:
        session: The recipe at work.
        fitted: Every task's first run; its mean curvature is the middle of the search.
        method: The method's name.
        made: Its sites.

    Returns:
        delta, on the scale of the mean loss, and the work that chose it, with its curve in decades.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}, preview: {prior_precision: 0.01}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         tuned_precision(session, {}, "diagonal", Made({}, lambda prior: {}))
    (0.01, None)
    """
    fixed = prior_precision(session.recipe, fitted)
    if session.recipe.preview.prior_precision != "auto":
        return fixed, None
    middle = math.log10(fixed)

    def loss(decades: float) -> float:
        ready = resident(session, made.under(around(session, 10**decades)))
        return objective(session, lambda weights: ready.merge(weights).params)

    inputs = {"method": method, "sites": made.artefacts, **made.options}
    grid = tuple(middle + _DECADES * share for share in (0.0, -0.5, 0.5, -1.0, 1.0))
    done = chosen(session, "prior precision", inputs, loss, (grid[-2], grid[-1]), also=grid)
    return float(10 ** done.result["value"]), done
