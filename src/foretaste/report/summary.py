"""A summary: everything a reader of a study wants, as values; what text, JSON and pages are made from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.wording import counted, number
from foretaste.surface.agreement import Agreement, anchor_of, judged
from foretaste.surface.choose import choose
from foretaste.surface.outlook import Outlook, evaluated, outlook, tellable, usable
from foretaste.surface.pareto import front
from foretaste.surface.preference import Floor, Preference, caution, measure, mute
from foretaste.surface.recommend import Alternative, Recommendation, recommend
from foretaste.surface.table import Array, Headline, Surface
from foretaste.weights import TaskWeights

__all__ = ["Confirmation", "Summary", "confirmation", "plain", "summarise", "to_json", "verdict"]

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


def _agreements(surface: Surface) -> tuple[Agreement, ...]:
    joint = surface.where(Fidelity.JOINT)
    confirmed = {row.weights for row in joint.rows}
    found = []
    for method in surface.methods():
        previews = surface.where(Fidelity.PREVIEW, method)
        if confirmed & {row.weights for row in previews.rows}:
            found.append(judged(previews, joint, method))
    return tuple(found)


@dataclass(frozen=True)
class Confirmation:
    """The joint run at the recommended weights beside its preview.

    Args:
        weights: The recommended ones.
        previewed: Headline metric per task; empty where these weights were not previewed.
        joint: The same after joint finetuning.
        previewed_value: What the preference gives the preview, if there is one.
        joint_value: What it gives the joint run.
        floors_met: Whether the joint run keeps every floor.
        better: Other weights whose joint run suits better, and their value, where the study has them.
        anchored: Whether the preview rests on this very joint run, so that their difference says nothing.
    """

    weights: TaskWeights
    previewed: Mapping[str, float]
    joint: Mapping[str, float]
    previewed_value: float | None
    joint_value: float
    floors_met: bool
    better: tuple[TaskWeights, float] | None
    anchored: bool

    @property
    def difference(self) -> dict[str, float]:
        """Joint minus previewed, per task; empty where it would say nothing."""
        return {} if self.anchored else {task: self.joint[task] - value for task, value in self.previewed.items()}

    @property
    def value_difference(self) -> float | None:
        """The same of the preference's value."""
        return None if self.anchored or self.previewed_value is None else self.joint_value - self.previewed_value


def confirmation(summary: Summary) -> Confirmation | None:
    """What the joint run at the recommended weights came to, or None where it was not made.

    Relative floors are held against the single-task metric, as in the recommendation.

    >>> from foretaste.weights import lattice
    >>> made = ((w, how) for w in lattice("ab", 2) for how in (Fidelity.PREVIEW, Fidelity.JOINT))
    >>> rows = [Evaluation(w, {t: {"loss": 1.0, "accuracy": w[t]} for t in w}, how, "simple") for w, how in made]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> confirmation(found).difference
    {'a': 0.0, 'b': 0.0}
    """
    chosen, joint = summary.recommendation, summary.joint
    row = joint.at(chosen.weights) if chosen else None
    if chosen is None or row is None:
        return None
    here = choose(replace(joint, rows=(row,)), summary.preference, summary.floors, summary.single)
    best = choose(joint, summary.preference, summary.floors, summary.single)
    seen = summary.previews.at(chosen.weights)
    preview = seen and choose(replace(joint, rows=(seen,)), summary.preference, (), summary.single)
    outdone = best.weights != here.weights and (best.floors_met > here.floors_met or best.value > here.value)
    return Confirmation(
        weights=chosen.weights,
        previewed=preview.expected if preview else {},
        joint=here.expected,
        previewed_value=preview.value if preview else None,
        joint_value=here.value,
        floors_met=here.floors_met,
        better=(best.weights, best.value) if outdone else None,
        anchored=seen is not None and chosen.weights == anchor_of(summary.method, summary.tasks),
    )


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


def to_json(summary: Summary) -> dict[str, object]:
    """All of the summary, ready for `json.dumps`; NaN and infinity become None.

    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> document = to_json(found)
    >>> document["method"], document["rows"]
    ('simple', [])
    """
    confirmed, preferred, worst = confirmation(summary), summary.recommendation, summary.preference.kind == "worst"
    better = confirmed and confirmed.better and dict(zip(("weights", "value"), confirmed.better, strict=True))
    surfaces = {"preview": summary.previews, "joint": summary.joint}
    document = {
        "name": summary.name,
        "tasks": {task: _fields(head) for task, head in summary.surface.headlines.items()},
        "method": summary.method,
        "preference": str(summary.preference),
        "caution": summary.caution,
        "floors": [str(floor) for floor in summary.floors],
        "recommendation": preferred and _recommended(preferred),
        "prediction": summary.outlook and _predicted(summary.outlook, evaluated(summary.outlook.surface)),
        "single_task": summary.single,
        "confirmation": confirmed and _fields(confirmed) | {"difference": confirmed.difference, "better": better},
        "agreements": [
            _fields(found) | {"mean_error": found.mean_error, "verdict": verdict(found, worst=worst)} for found in summary.agreements
        ],
        "front": {name: [row.weights for row in front(found).rows] for name, found in surfaces.items()},
        "rows": [_fields(row) for row in summary.surface.rows],
        "provenance": summary.provenance,
        "costs": summary.costs,
    }
    return {key: plain(value) for key, value in document.items()}


def _recommended(found: Recommendation) -> dict[str, object]:
    floors = [{"floor": str(kept.floor), "chance": kept.chance} for kept in found.floors]
    others = [_fields(other) | {"undecided": other.undecided} for other in found.runners_up]
    return _fields(found) | {"floors": floors, "floors_met": found.floors_met, "runners_up": others}


def _predicted(found: Outlook, points: Sequence[TaskWeights]) -> dict[str, object]:
    """What joint runs are expected to give at the evaluated weightings, with 90 % intervals."""
    places, prediction = [found.places[weights] for weights in points], found.prediction
    tables = {"median": prediction.median, "low": prediction.low, "high": prediction.high}
    return {
        "metrics": {task: head.metric for task, head in found.surface.headlines.items()},
        "basis": prediction.basis,
        "error_left_out": prediction.errors,
        "weights": list(points),
        **{name: table[places].tolist() for name, table in tables.items()},
        "chance_on_front": found.on_front[places].tolist(),
    }


def _fields(value: Headline | Recommendation | Alternative | Confirmation | Agreement | Evaluation) -> dict[str, object]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def plain(value: object) -> object:
    """A value as JSON has it: NaN and infinity become None.

    >>> plain({"a": (1.0, float("nan"))})
    {'a': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value) if isinstance(value, Fidelity) else value
