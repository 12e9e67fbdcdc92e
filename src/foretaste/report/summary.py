"""A summary: everything a reader of a study wants, as values; what text, JSON and pages are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.one_line import one_line
from foretaste.report.wording import counted, number
from foretaste.surface.agreement import Agreement, judged
from foretaste.surface.outlook import Outlook, evaluated, outlook, tellable, usable
from foretaste.surface.preference import Floor, Preference, caution, measure, mute
from foretaste.surface.recommend import Recommendation, recommend
from foretaste.surface.table import Array, Surface

__all__ = ["Summary", "summarise", "verdict", "with_preference"]

_FEWEST = 5  # weightings below which agreement says nothing
_GOOD, _FAIR = 0.8, 0.5  # rank correlations
_SMALL = 0.25  # of the spread: an error that leaves the choice alone
_STILL = 1e-9


@dataclass(frozen=True)
class Summary:
    """What a study has found so far.

    Args:
        name: The study's.
        surface: All rows, of all fidelities.
        method: The previews that are shown.
        outlook: What joint finetuning may give; None while there is too little to predict from.
        recommendation: None without an outlook.
        agreements: One per preview method that has joint runs to compare with.
        preference: What is maximised.
        floors: What must hold.
        provenance: Ordered lines: versions, seeds, hashes.
        costs: Seconds by step.
    """

    name: str
    surface: Surface
    method: str
    outlook: Outlook | None
    recommendation: Recommendation | None
    agreements: tuple[Agreement, ...]
    preference: Preference
    floors: tuple[Floor, ...]
    provenance: Mapping[str, str]
    costs: Mapping[str, float]

    __repr__ = one_line

    @property
    def tasks(self) -> tuple[str, ...]:
        """Task names, in the study's order."""
        return self.surface.tasks

    @cached_property
    def previews(self) -> Surface:
        """The method's previews, one row per weighting."""
        return self.surface.where(Fidelity.PREVIEW, self.method).averaged()

    @cached_property
    def joint(self) -> Surface:
        """The joint runs, one row per weighting: seeds are averaged."""
        return self.surface.where(Fidelity.JOINT).averaged()

    @property
    def chosen(self) -> Evaluation | None:
        """The preview at the recommended weights, else the joint run there."""
        found = self.recommendation
        return None if found is None else self.previews.at(found.weights) or self.joint.at(found.weights)

    @property
    def trust(self) -> Agreement | None:
        """The agreement of the method's previews, where there is one."""
        return next((found for found in self.agreements if found.method == self.method), None)

    @cached_property
    def single(self) -> dict[str, float]:
        """Each task's headline metric by its single-task model, for the tasks that have one."""
        return {task: row.metrics[task][self.surface.headlines[task].metric] for task, row in self.surface.singles().items()}

    @property
    def measure(self) -> str:
        """What the preference's number is called."""
        return measure(self.preference, self.surface.headlines)

    @property
    def wanted(self) -> str:
        """The preference, by the name of its number where that is not plain."""
        return str(self.preference) if self.measure == "value" else self.measure

    @property
    def caution(self) -> str:
        """What to mind: metrics that should not be added up, or that say nothing; empty where there is nothing."""
        heads = self.surface.headlines
        return " ".join(each for each in (caution(self.preference, heads, self.floors), mute(heads, self.single)) if each)

    def values(self, surface: Surface) -> Array:
        """`[N]`: what the preference gives each row of a surface; more is better."""
        return self.preference.of(surface.oriented()) if surface.rows else np.zeros(0)


def summarise(
    surface: Surface,
    *,
    name: str,
    method: str,
    preference: Preference,
    floors: Sequence[Floor],
    provenance: Mapping[str, str],
    costs: Mapping[str, float],
    only: str | None = None,
) -> Summary:
    """Recommend, and compare previews with joint runs, as far as the rows allow.

    Args:
        surface: All rows of the study.
        name: The study's.
        method: The previews to show.
        preference: What to maximise.
        floors: What must hold.
        provenance: Lines to show as they are, in this order.
        costs: Seconds by step.
        only: A method, where the recommendation is not to rest on previews by others.

    Raises:
        StudyError: A relative floor, and its task's corner was not previewed.

    >>> from foretaste.surface.table import Headline
    >>> empty = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(empty, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> found.recommendation is None, found.agreements
    (True, ())
    """
    preference = preference.settled(surface) if surface.rows else preference
    told = usable(surface, only)
    seen = outlook(told) if tellable(told) else None
    return Summary(
        name=name,
        surface=surface,
        method=method,
        outlook=seen,
        recommendation=None if seen is None else recommend(seen, preference, floors, among=evaluated(told)),
        agreements=_agreements(surface),
        preference=preference,
        floors=tuple(floors),
        provenance=dict(provenance),
        costs=dict(costs),
    )


def with_preference(summary: Summary, preference: Preference, floors: Sequence[Floor]) -> Summary:
    """The summary with another preference: the prediction stays, only the recommendation is made again.

    Args:
        summary: Of the same study.
        preference: What to maximise.
        floors: What must hold.

    Raises:
        StudyError: A relative floor, and its task's corner was not previewed.

    >>> from foretaste.surface.table import Headline
    >>> empty = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> mean = summarise(empty, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> with_preference(mean, Preference("worst", {}), ()).preference.kind
    'worst'
    """
    preference = preference.settled(summary.surface) if summary.surface.rows else preference
    best = recommend(summary.outlook, preference, floors, among=evaluated(summary.outlook.surface)) if summary.outlook else None
    return replace(summary, preference=preference, floors=tuple(floors), recommendation=best)


def _agreements(surface: Surface) -> tuple[Agreement, ...]:
    joint = surface.where(Fidelity.JOINT)
    confirmed = {row.weights for row in joint.rows}
    found = []
    for method in surface.methods():
        previews = surface.where(Fidelity.PREVIEW, method)
        if confirmed & {row.weights for row in previews.rows}:
            found.append(judged(previews, joint, method))
    return tuple(found)


def verdict(found: Agreement, *, worst: bool = False) -> str:
    """How far to trust the previews, in a sentence or two.

    Errors and regret are held against the spread of the joint mean: what there is to choose.

    Args:
        found: One method's.
        worst: Judge the ranking of the worst task, not of the mean over tasks.

    >>> even = {"a": 0.0}
    >>> verdict(Agreement("simple", 1, {"a": 0.02}, even, {"a": None}, None, None, None, 0.0, 0.0, 0.0))
    'Too few points to tell: 1 weighting has both a preview and a joint run, ...'
    """
    off = f"the metrics are off by {number(found.mean_error)} on average"
    apart = " (without the one that anchored the previews)" if found.left_out else ""
    if found.points < _FEWEST:
        have = f"{counted(found.points, 'weighting')}{apart} {'has' if found.points == 1 else 'have'}"
        few = f"Too few points to tell: {have} both a preview and a joint run, at least {_FEWEST} are needed."
        return f"{few} There {off}." if found.points else few
    if found.spread < _STILL:
        return f"There is nothing to choose: joint finetuning has the same mean at all {found.points} weightings{apart}. There {off}."
    noun, rank, regret = ("worst task", found.rank_worst, found.regret_worst) if worst else ("mean", found.rank_mean, found.regret_mean)
    varies = f"{off}, where the joint mean varies by {number(found.spread)}"
    if rank is None:
        return f"Do not choose by these previews: their {noun} has no ranking to compare at {found.points} weightings{apart}; {varies}."
    lead = _lead(rank, regret / found.spread, found.mean_error / found.spread)
    return f"{lead}: rank correlation of the {noun} {rank:.2f} at {found.points} weightings{apart}; {varies}. {_price(noun, regret)}"


def _lead(rank: float, regret: float, error: float) -> str:
    if rank >= _GOOD and regret <= _SMALL:
        return "Trust the ranking and the numbers" if error <= _SMALL else "Trust the ranking, not the numbers"
    if rank >= _FAIR:
        return "Use the previews to narrow the choice, not to settle it"
    return "The numbers are close, the ranking is not" if error <= _SMALL else "Do not choose by these previews"


def _price(noun: str, regret: float) -> str:
    if regret < _STILL:
        return f"The weighting with the best previewed {noun} also has the best joint one."
    return f"Taking the best previewed {noun} gives up {number(regret)} against the best of these joint runs."
