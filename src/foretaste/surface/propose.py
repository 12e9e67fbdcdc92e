"""Proposals: which weightings to evaluate next, and how, for what each is worth per unit of cost.

A joint run is worth what it is expected to add to the value of the best weights, through a better choice: the
knowledge gradient. With m and C what is believed of the value at all candidates and s^2 the noise of a single run,
a run at i moves the beliefs along ``b = C_i / sqrt(C_ii + s_i^2)``, and::

    gain(i) = E max_j (m_j + b_j Z) - max_j m_j,    Z standard normal

A preview takes away the doubt about what previews give there; a sharpened preview, of which too few are known to
judge them by, is taken for a joint run with half as much noise as there is doubt. For the whole front the gain is the
mean over many preferences, each for the worst task under other weights. Further proposals of a batch reckon with those
before them.

References:
    Frazier, Powell, Dayanik: The Knowledge-Gradient Policy for Correlated Normal Beliefs, 2009,
    https://doi.org/10.1287/ijoc.1080.0314
    Knowles: ParEGO, 2006, https://doi.org/10.1109/TEVC.2005.851274
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from foretaste.errors import StudyError
from foretaste.evaluation import Fidelity
from foretaste.one_line import one_line
from foretaste.surface.outlook import Beliefs, Objective, Outlook
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.table import Array
from foretaste.weights import TaskWeights

__all__ = ["Option", "Proposal", "gains", "propose"]

_STANDARD = np.array([NormalDist().inv_cdf((place + 0.5) / 48) for place in range(48)])
_UNKNOWN = 0.5  # of a doubt's standard deviation is the error of a fidelity that is not known yet
_PREFERENCES = 12
_LEAST = 1e-12
_LITTLE = 0.02


@dataclass(frozen=True)
class Option:
    """A way to evaluate a weighting.

    Args:
        fidelity: Preview, sharpened preview or joint run.
        method: As rows name it.
        cost: Of one evaluation, in any unit.
    """

    fidelity: Fidelity
    method: str
    cost: float


@dataclass(frozen=True)
class Proposal:
    """A weighting to evaluate.

    Args:
        weights: alpha.
        option: How.
        gain: Expected gain in the value of the best weights; for the front, in the mean over many preferences.
    """

    weights: TaskWeights
    option: Option
    gain: float

    __repr__ = one_line


def gains(beliefs: Beliefs, places: Sequence[int]) -> Array:
    """`[P]`: the knowledge gradient of a joint run at each of P places.

    >>> two = Beliefs(np.array([0.0, 0.0]), np.diag([1.0, 0.0]), np.zeros(2))
    >>> gains(two, [0, 1]).round(2)
    array([0.4, 0. ])
    """
    chosen, variance = list(places), np.diag(beliefs.covariance) + beliefs.noise
    return _expected_gains(beliefs.mean, beliefs.covariance[:, chosen] / np.sqrt(np.maximum(variance, _LEAST))[chosen])


def propose(
    view: Outlook,
    preference: Preference | None,
    floors: Sequence[Floor] = (),
    *,
    options: Sequence[Option],
    count: int = 1,
    pending: Sequence[Proposal] = (),
    failed: Sequence[Proposal] = (),
    seed: int = 0,
) -> list[Proposal]:
    """The evaluations that are worth most per unit of cost, best first.

    Nothing is evaluated here: the caller does, adds the rows to the surface and asks again.

    Args:
        view: What joint finetuning may give at the candidates.
        preference: What is maximised; None for the whole front.
        floors: What must hold.
        options: Ways to evaluate that are open. Joint runs and sharpened previews are not proposed at corners.
        count: How many to propose, for as many workers.
        pending: Under way elsewhere: not proposed again, and reckoned with.
        failed: Not proposed again.
        seed: Of the preferences that stand for the front.

    Returns:
        At most ``count``, each with a gain above 0.

    Raises:
        StudyError: No option is open, or a floor or preference needs a single-task metric that is not there.

    >>> from foretaste.surface.outlook import outlook
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation
    >>> from foretaste.simplex import lattice
    >>> rows = [
    ...     Evaluation(w, {t: {"accuracy": w[t] ** 0.5} for t in w}, Fidelity.PREVIEW, "simple")
    ...     for w in lattice("ab", 4)
    ... ]
    >>> view = outlook(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)), lattice("ab", 4))
    >>> [
    ...     str(proposal.weights)
    ...     for proposal in propose(view, Preference("mean", {}), options=[Option(Fidelity.JOINT, "joint", 1.0)])
    ... ]
    ['a=0.5,b=0.5']
    """
    if not options:
        raise StudyError("nothing can be proposed: no way to evaluate is open")
    beliefs = [view.beliefs(objective, floors) for objective in _objectives(view, preference, seed)]
    for proposal in pending:
        beliefs = _after(view, beliefs, proposal)
    closed = {(proposal.weights, proposal.option.method) for proposal in (*pending, *failed)}
    closed |= {
        (row.weights, row.label if row.fidelity != Fidelity.JOINT else str(Fidelity.JOINT)) for row in view.surface.rows
    }
    proposals: list[Proposal] = []
    while len(proposals) < count:
        best = max(
            (_best(view, beliefs, option, closed) for option in options),
            key=lambda proposal: proposal.gain / proposal.option.cost,
        )
        if best.gain <= _LEAST:
            break
        proposals.append(best)
        closed.add((best.weights, best.option.method))
        beliefs = _after(view, beliefs, best)
    return proposals


@dataclass(frozen=True)
class _WorstUnder:
    """The worst task, with metrics in units of their range, under other weights: prefers one part of the front."""

    weights: Array
    low: Array
    span: Array

    def of(self, values: Array) -> Array:
        scaled = (values - self.low) / self.span
        return np.asarray((scaled * self.weights).min(-1) + 0.05 * (scaled * self.weights).sum(-1))


def _objectives(view: Outlook, preference: Preference | None, seed: int) -> Sequence[Objective]:
    if preference is not None:
        return [preference.resolve_knee(view.surface)]
    medians = view.surface.oriented(view.prediction.median)
    low, span = medians.min(0), np.maximum(np.ptp(medians, axis=0), _LEAST)
    task_weights = np.random.default_rng(seed).dirichlet(np.ones(medians.shape[1]), _PREFERENCES)
    return [_WorstUnder(1 / np.maximum(weights, _LITTLE), low, span) for weights in task_weights]


def _best(
    view: Outlook, beliefs: Sequence[Beliefs], option: Option, closed: Collection[tuple[TaskWeights, str]]
) -> Proposal:
    """Where the option is worth most; with a gain of 0 where it is closed everywhere."""
    places = [
        place
        for place, weights in enumerate(view.points)
        if (weights, option.method) not in closed and (weights.corner is None or option.fidelity == Fidelity.PREVIEW)
    ]
    if not places:
        return Proposal(view.points[0], option, 0.0)
    gained = np.mean(
        [_expected_gains(belief.mean, _moves(view, belief, option)[:, places]) for belief in beliefs], axis=0
    )
    top = int(gained.argmax())
    return Proposal(view.points[places[top]], option, float(gained[top]))


def _moves(view: Outlook, beliefs: Beliefs, option: Option) -> Array:
    """`[N, N]`: how an evaluation at each place moves the mean at all, per standard deviation of what it shows."""
    variance = np.maximum(np.diag(beliefs.covariance), 0.0)
    doubt = view.prediction.doubts.get(option.method)
    if doubt is not None:  # what previews of this method give elsewhere says little of here
        return np.diag(np.sqrt(doubt.mean(1) * variance))
    noise = beliefs.noise if option.fidelity == Fidelity.JOINT else _UNKNOWN**2 * variance
    return np.asarray(beliefs.covariance / np.sqrt(np.maximum(variance + noise, _LEAST)))


def _expected_gains(mean: Array, moves: Array) -> Array:
    """`[P]` from moves `[N, P]`."""
    best = float(mean.max())
    return np.array([float((mean[:, None] + np.outer(move, _STANDARD)).max(0).mean()) - best for move in moves.T])


def _after(view: Outlook, beliefs: Sequence[Beliefs], proposal: Proposal) -> list[Beliefs]:
    """The beliefs once an evaluation is made, whatever it shows."""
    place = view.places.get(proposal.weights)
    if place is None:
        return list(beliefs)
    moved = [_moves(view, belief, proposal.option)[:, place] for belief in beliefs]
    return [
        replace(belief, covariance=belief.covariance - np.outer(move, move))
        for belief, move in zip(beliefs, moved, strict=True)
    ]
