"""A summary: everything that a study's rows say, as values. Sections and records are made from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from foretaste.document.wording import counted, number
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.one_line import one_line
from foretaste.readable import Readable
from foretaste.surface.agreement import Agreement, agreement_without_anchor
from foretaste.surface.joint_shares import JointData
from foretaste.surface.outlook import Outlook, can_predict, choosable_weights, outlook, select_usable_rows
from foretaste.surface.preference import Floor, Preference, caution, measure, zero_metric_caution
from foretaste.surface.recommend import Recommendation, recommend
from foretaste.surface.table import Array, Surface
from foretaste.surface.views import are_of_tasks
from foretaste.train.curve import RunCurve

__all__ = ["Summary", "summarise", "verdict", "with_preference"]

_FEWEST = 5  # weightings below which agreement says nothing
_GOOD, _FAIR = 0.8, 0.5  # rank correlations
_SMALL = 0.25  # of the spread: an error that leaves the choice alone
_STILL = 1e-9


@dataclass(frozen=True)
class Summary(Readable):
    """What a study's rows say so far.

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
        curves: The training curves of single-task runs and of joint runs.
        joint_data: The data of joint runs; None where it is not known.
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
    curves: tuple[RunCurve, ...] = ()
    joint_data: JointData | None = None

    __repr__ = one_line

    @property
    def tasks(self) -> tuple[str, ...]:
        """Task names, in the study's order."""
        return self.surface.tasks

    @property
    def weight_names(self) -> tuple[str, ...]:
        """Names of what is weighted: the tasks, or other domains."""
        return self.surface.weight_names

    @property
    def has_task_weights(self) -> bool:
        """Whether the tasks themselves are weighted."""
        return are_of_tasks(dict.fromkeys(self.weight_names, 0.0), self.tasks)

    @property
    def is_from_outside(self) -> bool:
        """Whether the study has no recipe: its runs are made elsewhere."""
        return self.surface.is_from_outside

    @cached_property
    def measured(self) -> Surface:
        """The rows that maps and fronts show: the method's previews, or the joint runs if there are no previews."""
        return self.previews if self.previews.rows else self.joint

    @property
    def measured_noun(self) -> str:
        """What the rows of `measured` are called."""
        return "preview" if self.previews.rows else "joint run"

    @cached_property
    def previews(self) -> Surface:
        """The method's previews, one row per weighting."""
        return self.previews_by(self.method)

    def previews_by(self, method: str) -> Surface:
        """Return a method's previews, one row per weighting; those that lack a headline metric are left out."""
        return _complete(self.surface.where(Fidelity.PREVIEW, method)).averaged()

    @cached_property
    def joint(self) -> Surface:
        """The joint runs, one row per weighting: seeds are averaged."""
        return _complete(self.surface.where(Fidelity.JOINT)).averaged()

    @property
    def chosen(self) -> Evaluation | None:
        """The preview at the recommended weights, or the joint run if there is no preview."""
        best = self.recommendation
        return None if best is None else self.previews.at(best.weights) or self.joint.at(best.weights)

    @property
    def trust(self) -> Agreement | None:
        """The agreement of the shown previews with joint runs, if there are any to compare with."""
        return next((agreement for agreement in self.agreements if agreement.method == self.method), None)

    @cached_property
    def single(self) -> dict[str, float]:
        """Each task's headline metric by its own single-task model, for the tasks that have one."""
        return {
            task: row.metrics[task][self.surface.headlines[task].metric] for task, row in self.surface.singles().items()
        }

    @property
    def measure(self) -> str:
        """The name of the number that the preference gives."""
        return measure(self.preference, self.surface.headlines)

    @property
    def objective(self) -> str:
        """The preference, or the name of its number where that says more."""
        return str(self.preference) if self.measure == "value" else self.measure

    @property
    def caution(self) -> str:
        """A warning about metrics that should not be averaged or that say nothing; empty if all is well."""
        heads = self.surface.headlines
        return " ".join(
            filter(None, (caution(self.preference, heads, self.floors), zero_metric_caution(heads, self.single)))
        )

    def values(self, surface: Surface) -> Array:
        """Return `[N]` values of the preference for a surface's rows; more is better."""
        return self.preference.of(surface.oriented()) if surface.rows else np.zeros(0)


def _complete(surface: Surface) -> Surface:
    """Leave out rows that lack a task's headline metric, as results from elsewhere may."""
    heads = surface.headlines.items()
    rows = [row for row in surface.rows if all(head.metric in row.metrics.get(task, {}) for task, head in heads)]
    return replace(surface, rows=tuple(rows))


def summarise(
    surface: Surface,
    *,
    name: str,
    method: str,
    preference: Preference,
    floors: Sequence[Floor],
    provenance: Mapping[str, str],
    costs: Mapping[str, float],
    curves: Sequence[RunCurve] = (),
    joint_data: JointData | None = None,
    only: str | None = None,
) -> Summary:
    """Recommend weights and compare previews with joint runs, as far as the rows allow.

    Args:
        surface: All rows of the study.
        name: The study's.
        method: The previews to show.
        preference: What to maximise.
        floors: What must hold.
        provenance: Lines to show as they are, in this order.
        costs: Seconds by step.
        curves: The training curves of single-task runs and of joint runs.
        joint_data: The data of joint runs, if it is known.
        only: A method, where the recommendation is not to rest on previews by others.

    Raises:
        StudyError: A relative floor, and its task's corner was not previewed.

    >>> from foretaste.surface.table import Headline
    >>> empty = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> summary = summarise(
    ...     empty, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    ... )
    >>> summary.recommendation is None, summary.agreements
    (True, ())
    """
    preference = preference.resolve_knee(surface) if surface.rows else preference
    rows = select_usable_rows(surface, only)
    prediction = outlook(rows) if can_predict(rows) else None
    choice = None if prediction is None else recommend(prediction, preference, floors, among=choosable_weights(rows))
    return Summary(
        name=name,
        surface=surface,
        method=method,
        outlook=prediction,
        recommendation=choice,
        agreements=_agreements(surface),
        preference=preference,
        floors=tuple(floors),
        provenance=dict(provenance),
        costs=dict(costs),
        curves=tuple(curves),
        joint_data=joint_data,
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
    >>> mean = summarise(
    ...     empty, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    ... )
    >>> with_preference(mean, Preference("worst", {}), ()).preference.kind
    'worst'
    """
    preference = preference.resolve_knee(summary.surface) if summary.surface.rows else preference
    best = (
        recommend(summary.outlook, preference, floors, among=choosable_weights(summary.outlook.surface))
        if summary.outlook
        else None
    )
    return replace(summary, preference=preference, floors=tuple(floors), recommendation=best)


def _agreements(surface: Surface) -> tuple[Agreement, ...]:
    surface = _complete(surface)
    joint = surface.where(Fidelity.JOINT)
    confirmed = {row.weights for row in joint.rows}
    agreements = []
    for method in surface.methods():
        previews = surface.where(Fidelity.PREVIEW, method)
        if confirmed & {row.weights for row in previews.rows}:
            agreements.append(agreement_without_anchor(previews, joint, method))
    return tuple(agreements)


def verdict(agreement: Agreement, *, worst: bool = False) -> str:
    """Say in a sentence or two how far to trust a method's previews.

    Errors and regret are compared with the spread of the joint mean, which is what there is to choose.

    Args:
        agreement: Of one method.
        worst: Judge the ranking of the worst task instead of that of the mean over tasks.

    >>> even = {"a": 0.0}
    >>> verdict(Agreement("simple", 1, {"a": 0.02}, even, {"a": None}, None, None, None, 0.0, 0.0, 0.0))
    'Too few joint runs to judge: 1 weighting has both a preview and a joint run, ...'
    """
    error = f"The previewed metrics are off by {number(agreement.mean_error)} on average"
    without = " (not counting the joint run that anchored the previews)" if agreement.left_out else ""
    at = f"{counted(agreement.points, 'weighting')}{without}"
    if agreement.points < _FEWEST:
        few = f"{at} {'has' if agreement.points == 1 else 'have'} both a preview and a joint run"
        text = f"Too few joint runs to judge: {few}, and it takes at least {_FEWEST}."
        return f"{text} {error}." if agreement.points else text
    if agreement.spread < _STILL:
        return f"There is nothing to choose: joint finetuning has the same mean at all {at}. {error}."
    noun, rank, regret = (
        ("worst task", agreement.rank_worst, agreement.regret_worst)
        if worst
        else ("mean", agreement.rank_mean, agreement.regret_mean)
    )
    spread = f"{error}; the mean of the joint runs varies by {number(agreement.spread)}."
    if rank is None:
        return f"Do not choose by these previews: their {noun} gives no ranking at {at}. {spread}"
    advice = _advice(rank, regret / agreement.spread, agreement.mean_error / agreement.spread)
    return f"{advice}: the rank correlation of the {noun} is {rank:.2f} at {at}. {spread} {_regret(noun, regret)}"


def _advice(rank: float, regret: float, error: float) -> str:
    """Advise by rank correlation, and by regret and error as shares of the spread."""
    if rank >= _GOOD and regret <= _SMALL:
        return "Trust the ranking and the numbers" if error <= _SMALL else "Trust the ranking, not the numbers"
    if rank >= _FAIR:
        return "Use the previews to narrow the choice, not to settle it"
    return "The numbers are close, the ranking is not" if error <= _SMALL else "Do not choose by these previews"


def _regret(noun: str, regret: float) -> str:
    if regret < _STILL:
        return f"The weighting with the best previewed {noun} is also the best of the joint runs."
    return f"Choosing by the previewed {noun} gives up {number(regret)} against the best joint run."
