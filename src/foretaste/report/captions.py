"""Captions: what a figure shows, and how sure a recommendation is, in sentences with the key numbers."""

import numpy as np

from foretaste.report.confirmation import confirmation
from foretaste.report.summary import Summary
from foretaste.report.wording import counted, number, shares, signed, span
from foretaste.surface.agreement import Agreement
from foretaste.surface.pareto import front
from foretaste.surface.recommend import Alternative, Recommendation
from foretaste.surface.table import Array
from foretaste.weights import TaskWeights, uniform

__all__ = [
    "agreed",
    "alternative",
    "certainty",
    "compared",
    "confirmed",
    "mapped",
    "nothing",
    "outlooked",
    "spanned",
    "traded",
    "valuation",
    "valued",
]


def nothing(summary: Summary) -> str:
    """What to do with an empty study.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> nothing(found)
    's: nothing evaluated yet; run `foretaste run RECIPE`'
    """
    return f"{summary.name}: nothing evaluated yet; run `foretaste run RECIPE`"


def certainty(summary: Summary) -> str:
    """How sure the recommendation is: what a joint run confirms, what the prediction rests on, what one more would bring.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> certainty(found)
    'Too little to recommend from yet; run `foretaste preview`, which goes over the whole simplex.'
    """
    found = summary.recommendation
    if found is None:
        return "Too little to recommend from yet; run `foretaste preview`, which goes over the whole simplex."
    return f"{confirmed(summary)} The prediction rests on {found.basis}. {outlooked(found)}"


def outlooked(found: Recommendation) -> str:
    """What one more joint run may bring, and which weights cannot be told apart from the recommended ones.

    >>> from foretaste.surface.outlook import outlook
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.recommend import recommend
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import corners
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.JOINT, "joint") for w in corners("ab")]
    >>> seen = outlook(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)), corners("ab"))
    >>> outlooked(recommend(seen, Preference("mean", {})))
    'One more joint run is expected to add 0.000 ...'
    """
    said = f"One more joint run is expected to add {number(found.next_gain)} to the value, through a better choice."
    apart = [shares(other.weights) for other in found.runners_up if other.undecided]
    return f"{said} Not to be told apart from it yet: {'; '.join(apart)}." if apart else said


def valuation(found: Recommendation, measure: str = "value") -> str:
    """What the preference is expected to give, and what that gains against equal weights, with 90 % intervals.

    Args:
        found: What is recommended.
        measure: What the preference's number is called.

    >>> from foretaste.surface.outlook import outlook
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.recommend import recommend
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import lattice
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t] ** 0.5} for t in w}, Fidelity.JOINT, "joint") for w in lattice("ab", 4)]
    >>> seen = outlook(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)), lattice("ab", 4))
    >>> valuation(recommend(seen, Preference("mean", {})))
    'value 0.7... (0.6... to 0.7...), as equal weights'
    """
    text = f"{measure} {number(found.value)} ({span(found.value_low, found.value_high)})"
    if found.gain is None or found.gain_low is None or found.gain_high is None:
        return text
    if found.weights == uniform(found.weights.names):
        return f"{text}, as equal weights"
    return f"{text}, {signed(found.gain)} against equal weights ({signed(found.gain_low)} to {signed(found.gain_high)})"


def alternative(other: Alternative) -> str:
    """A runner-up: its value, how likely it is the better one, and what changes.

    >>> from foretaste.weights import TaskWeights, uniform
    >>> alternative(Alternative(uniform("ab"), 0.5, 0.25, {"a": 0.01, "b": -0.02}))
    '0.500  a 50%, b 50%: better with probability 25%; a +0.010, b -0.020'
    """
    changes = ", ".join(f"{task} {signed(change)}" for task, change in other.difference.items())
    return f"{number(other.value)}  {shares(other.weights)}: better with probability {other.chance:.0%}; {changes}"


def confirmed(summary: Summary) -> str:
    """Whether joint finetuning bears the recommendation out.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> confirmed(found)
    'Not confirmed: there is no joint run at these weights yet; run `foretaste confirm`.'
    """
    found = confirmation(summary)
    if found is None:
        return "Not confirmed: there is no joint run at these weights yet; run `foretaste confirm`."
    called = "" if summary.measure == "value" else f"{summary.measure} "
    text = f"Joint finetuning at these weights gives {called}{number(found.joint_value)}"
    if found.anchored:
        text += " (this joint run anchored the preview)"
    elif found.value_difference is not None:
        text += f" ({signed(found.value_difference)} against the preview)"
    text += "" if found.floors_met else ", and does not keep the floors"
    if found.better:
        weights, value = found.better
        return f"{text}. The joint run at {shares(weights)} measured {number(value)}{_regressed(summary, weights)}."
    return f"{text}; {counted(len(summary.joint.rows), 'joint run')} in the study, none better."


def _regressed(summary: Summary, weights: TaskWeights) -> str:
    """What is to be expected where a run came out better: single runs vary."""
    seen = summary.outlook
    if seen is None or weights not in seen.places:
        return ""
    value = float(seen.values(summary.preference)[:, seen.places[weights]].mean())
    return f", where by all that is known {number(value)} is to be expected"


def mapped(summary: Summary, task: str) -> str:
    """A task's map: range over the previews, the recommended point, range over the joint runs.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import lattice
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.PREVIEW, "simple") for w in lattice("ab", 2)]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> mapped(found, "a")
    '3 previews: accuracy 0.000 to 1.000, highest at a 100%, b 0%. The recommended weights give 0.5...'
    """
    column = summary.tasks.index(task)
    head = summary.surface.headlines[task]
    found = summary.recommendation
    here = f" The recommended weights give {number(found.expected[task])}." if found else ""
    return _ranges(summary, summary.previews.values()[:, column], summary.joint.values()[:, column], head.metric) + here


def spanned(summary: Summary) -> str:
    """The range of every task over the previews, in one sentence.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import lattice
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.PREVIEW, "simple") for w in lattice("ab", 2)]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> spanned(found)
    'Previewed metrics: a 0.000 to 1.000, b 0.000 to 1.000.'
    """
    values = summary.previews.values()
    ranges = [
        f"{task} {number(low)} to {number(high)}" for task, low, high in zip(summary.tasks, values.min(0), values.max(0), strict=True)
    ]
    return f"Previewed metrics: {', '.join(ranges)}."


def valued(summary: Summary) -> str:
    """The same of the preference.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import lattice
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.PREVIEW, "simple") for w in lattice("ab", 2)]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> valued(found)
    '3 previews: value 0.500 to 0.500, highest at a 100%, b 0%. The recommended weights give 0.5...'
    """
    found = summary.recommendation
    here = f" The recommended weights give {number(found.value)}." if found else ""
    return _ranges(summary, summary.values(summary.previews), summary.values(summary.joint), summary.measure) + here


def _ranges(summary: Summary, seen: Array, real: Array, noun: str) -> str:
    said = []
    if len(seen):
        top = shares(summary.previews.rows[int(np.argmax(seen))].weights)
        said.append(f"{counted(len(seen), 'preview')}: {noun} {number(seen.min())} to {number(seen.max())}, highest at {top}.")
    if len(real):
        said.append(f"{counted(len(real), 'joint run')}: {number(real.min())} to {number(real.max())}.")
    return " ".join(said)


def traded(summary: Summary) -> str:
    """The trade-off: how many previews no other beats, and the best each task can have.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> traded(found)
    'No previews yet.'
    """
    surface = summary.previews
    if not surface.rows:
        return "No previews yet."
    best = surface.signs * (surface.values() * surface.signs).max(0)
    ends = ", ".join(f"{task} {number(value)}" for task, value in zip(summary.tasks, best, strict=True))
    count = f"{len(front(surface).rows)} of {counted(len(surface.rows), 'preview')}"
    return f"On the Pareto front, where no other is at least as good in every task: {count}. Best of each task: {ends}."


def compared(found: Agreement) -> str:
    """Previews against joint runs: the error of each task.

    >>> even = {"a": 0.0, "b": 0.0}
    >>> compared(Agreement("simple", 4, {"a": 0.02, "b": 0.01}, even, {"a": None, "b": None}, None, None, None, 0.0, 0.0, 0.0))
    '4 weightings with both; mean absolute error: a 0.020, b 0.010. On the line, preview and joint run agree.'
    """
    errors = ", ".join(f"{task} {number(value)}" for task, value in found.error.items())
    apart = " beside the one that anchored the previews" if found.left_out else ""
    both = f"{counted(found.points, 'weighting')} with both{apart}"
    return f"{both}; mean absolute error: {errors}. On the line, preview and joint run agree."


def agreed(summary: Summary) -> str:
    """The methods beside each other.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import lattice
    >>> made = ((w, how) for w in lattice("ab", 2) for how in (Fidelity.PREVIEW, Fidelity.JOINT))
    >>> rows = [Evaluation(w, {t: {"loss": 1.0, "accuracy": w[t]} for t in w}, how, "simple") for w, how in made]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> agreed(found)
    'simple: error 0.000, rank correlation undefined, regret 0.000.'
    """
    said = []
    for found in summary.agreements:
        rank = "undefined" if found.rank_mean is None else f"{found.rank_mean:.2f}"
        said.append(f"{found.method}: error {number(found.mean_error)}, rank correlation {rank}, regret {number(found.regret_mean)}.")
    return " ".join(said)
