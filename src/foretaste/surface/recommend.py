"""Recommendation: the weights that a preference asks for, from the prediction of joint finetuning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from foretaste.document.markup import table_html
from foretaste.one_line import one_line
from foretaste.readable import Readable
from foretaste.surface.outlook import Beliefs, Outlook
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.propose import gains
from foretaste.surface.table import Array
from foretaste.surface.views import are_of_tasks, domains_table, weights_table
from foretaste.weights import TaskWeights, uniform

__all__ = ["SURE", "Alternative", "FloorChance", "Recommendation", "recommend"]

SURE = 0.8  # a floor is taken to hold from this probability on
_QUANTILES = (0.05, 0.95)
_APART = 0.15  # of all weight has to move before other weights are a runner-up
_UNDECIDED = 0.1  # probability of being better from which weights cannot be told apart
_HARDLY = 0.01  # of the range of expected values
_UNSURE = 0.1  # of the standard deviation of a difference
_TIE = 1e-9


@dataclass(frozen=True)
class Alternative:
    """Other weights worth considering.

    Args:
        weights: alpha.
        value: What the preference is expected to give there.
        chance: Probability that they suit better than the recommended ones.
        difference: Expected headline metric of each task, less that of the recommended weights.
    """

    weights: TaskWeights
    value: float
    chance: float
    difference: Mapping[str, float]

    __repr__ = one_line

    @property
    def undecided(self) -> bool:
        """Whether these and the recommended weights are too close to call."""
        return self.chance >= _UNDECIDED


@dataclass(frozen=True)
class FloorChance:
    """A floor at the recommended weights.

    Args:
        floor: What must hold.
        chance: Probability that a joint run keeps it.
    """

    floor: Floor
    chance: float

    __repr__ = one_line


@dataclass(frozen=True)
class Recommendation(Readable):
    """Chosen weights, what to expect of joint finetuning there, and why.

    Args:
        weights: alpha.
        expected: Headline metric of each task: a joint run is as likely above as below.
        low: Lower end of each task's 90 % interval for a joint run.
        high: Upper end of each task's 90 % interval.
        value: What the preference is expected to give.
        value_low: Lower end of its 90 % interval for a joint run.
        value_high: Upper end of its 90 % interval.
        gain: Value minus that of uniform weights; None where these are no candidate.
        gain_low: Lower end of its 90 % interval.
        gain_high: Upper end of its 90 % interval.
        floors: What must hold, and how likely that is.
        chance: Probability that all floors hold together.
        next_gain: What one more joint run is expected to add to the value, through a better choice.
        confirmed: Whether a joint run was made at these weights.
        runners_up: Other good weights, well apart.
        reason: A sentence.
        basis: What the prediction rests on.
    """

    weights: TaskWeights
    expected: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]
    value: float
    value_low: float
    value_high: float
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    floors: tuple[FloorChance, ...]
    chance: float
    next_gain: float
    confirmed: bool
    runners_up: tuple[Alternative, ...]
    reason: str
    basis: str

    def __repr__(self) -> str:
        interval = f"{self.value_low:.3f} to {self.value_high:.3f}"
        return f"Recommendation({self.weights.key}: expected value {self.value:.3f}, {interval})"

    def _repr_html_(self) -> str:
        """Show a notebook each task's weight and the metric that a joint run is expected to have."""
        title = f"Recommended weights: {self.reason}"
        table = table_html(weights_table(self.weights, self.expected, self.low, self.high, title=title))
        of_tasks = are_of_tasks(self.weights, self.expected)
        return (
            table if of_tasks else table + table_html(domains_table(self.weights, "Recommended weights of the domains"))
        )

    @property
    def floors_met(self) -> bool:
        """Whether all floors hold with a probability of at least 80 %."""
        return self.chance >= SURE


def recommend(
    view: Outlook,
    preference: Preference,
    floors: Sequence[Floor] = (),
    *,
    among: Sequence[TaskWeights] | None = None,
    runners_up: int = 3,
) -> Recommendation:
    """Choose the weights with the best expected value among those that are likely enough to keep every floor.

    Where none is, those that are likeliest to keep them. Weights with a joint run are preferred to others that are
    expected to be better by less than a hundredth of what there is to choose, or than a tenth of the standard deviation
    of that difference; ties go to the more even weights.

    Args:
        view: What joint finetuning may give.
        preference: What to maximise.
        floors: What must hold.
        among: Of the outlook's weightings; all if left out.
        runners_up: How many others to name.

    Raises:
        StudyError: No single-task metric for a relative floor or for the knee.

    >>> from foretaste.surface.outlook import outlook
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.simplex import lattice
    >>> rows = [
    ...     Evaluation(w, {t: {"accuracy": w[t] ** 0.5} for t in w}, Fidelity.PREVIEW, "simple")
    ...     for w in lattice("ab", 4)
    ... ]
    >>> view = outlook(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)), lattice("ab", 4))
    >>> recommend(view, Preference.parse("mean", ["a", "b"])).weights
    TaskWeights(a=0.5,b=0.5)
    """
    preference = preference.resolve_knee(view.surface)
    values = view.values(preference)
    mean = np.round(values.mean(0), 9)
    chances = np.asarray((view.shortfalls(floors, measured=True).max(-1, initial=0.0) <= 0).mean(0))
    order = _confirmed_first(view, values, chances, _order(view, mean, chances, among))
    best = order[0]
    medians, low, high = view.prediction.median, view.prediction.low, view.prediction.high
    columns = [dict(zip(view.surface.tasks, table[best].tolist(), strict=True)) for table in (medians, low, high)]
    single = np.quantile(view.values(preference, measured=True)[:, best], _QUANTILES).tolist()
    even = view.places.get(uniform(view.surface.weight_names))
    gained = None if even is None else values[:, best] - values[:, even]
    return Recommendation(
        weights=view.points[best],
        expected=columns[0],
        low=columns[1],
        high=columns[2],
        value=float(mean[best]),
        value_low=single[0],
        value_high=single[1],
        gain=None if gained is None else float(gained.mean()),
        gain_low=None if gained is None else float(np.quantile(gained, _QUANTILES[0])),
        gain_high=None if gained is None else float(np.quantile(gained, _QUANTILES[1])),
        floors=tuple(
            FloorChance(floor, float(chance)) for floor, chance in zip(floors, view.chances(floors)[best], strict=True)
        ),
        chance=float(chances[best]),
        next_gain=min(_next_gain(view, view.beliefs(preference, floors)), view.most_to_gain(preference, floors)),
        confirmed=view.points[best] in view.joint,
        runners_up=tuple(_others(view, values, order, medians)[:runners_up]),
        reason=_reason(preference, floors, chances[order], float(chances[best])),
        basis=view.prediction.basis,
    )


def _order(view: Outlook, mean: Array, chances: Array, among: Sequence[TaskWeights] | None) -> list[int]:
    """Candidates, the best first."""
    alphas = np.array([list(point.values()) for point in view.points])
    unevenness = np.round(np.linalg.norm(alphas, axis=1), 9)
    likely = np.where(chances >= SURE, 1.0, np.round(chances, 2))
    places = range(len(view.points)) if among is None else [view.places[weights] for weights in among]
    return sorted(places, key=lambda place: (-likely[place], -mean[place], unevenness[place]))


def _confirmed_first(view: Outlook, values: Array, chances: Array, order: list[int]) -> list[int]:
    """Put weights with a joint run first if the best ones are hardly better."""
    best, hardly = order[0], _HARDLY * float(np.ptp(values.mean(0)))
    confirmed = [
        place
        for place in order
        if view.points[place] in view.joint and (chances[place] >= SURE) == (chances[best] >= SURE)
    ]
    for place in confirmed[:1]:
        better = values[:, best] - values[:, place]
        if better.mean() <= max(hardly, _UNSURE * float(better.std())):
            return [place, *(other for other in order if other != place)]
    return order


def _next_gain(view: Outlook, beliefs: Beliefs) -> float:
    places = [
        place for place, weights in enumerate(view.points) if weights not in view.joint and weights.corner is None
    ]
    return float(gains(beliefs, places).max(initial=0.0))


def _others(view: Outlook, values: Array, order: Sequence[int], medians: Array) -> list[Alternative]:
    """Good weights that are apart from the best and from each other."""
    alphas, places = np.array([list(point.values()) for point in view.points]), [order[0]]
    for place in order[1:]:
        if np.abs(alphas[places] - alphas[place]).sum(1).min() / 2 >= _APART - _TIE:
            places.append(place)
    best = places[0]
    return [
        Alternative(
            weights=view.points[place],
            value=float(values[:, place].mean()),
            chance=float((values[:, place] > values[:, best]).mean()),
            difference=dict(zip(view.surface.tasks, (medians[place] - medians[best]).tolist(), strict=True)),
        )
        for place in places[1:]
    ]


def _reason(preference: Preference, floors: Sequence[Floor], chances: Array, best: float) -> str:
    """Of the chosen weights; `[N]` chances that each candidate keeps all floors."""
    bounds, count = (
        " and ".join(str(floor) for floor in floors),
        f"{len(chances)} weighting{'s' if len(chances) != 1 else ''}",
    )
    if not floors:
        return f"best expected value of {preference} among {count}"
    if best < SURE:
        return f"no weighting is likely ({SURE:.0%}) to keep {bounds}; this one is likeliest to, at {best:.0%}"
    likely_count = int((chances >= SURE).sum())
    likely = f"that {'is' if likely_count == 1 else 'are'} likely ({SURE:.0%})"
    return f"best expected value of {preference} among the {likely_count} of {count} {likely} to keep {bounds}"
