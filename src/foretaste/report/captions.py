"""Captions: what a figure shows, and how sure a recommendation is, in sentences with the key numbers."""

import numpy as np

from foretaste.report.summary import Summary, confirmation, verdict
from foretaste.report.wording import counted, number, shares, signed
from foretaste.surface.agreement import Agreement
from foretaste.surface.pareto import front
from foretaste.surface.table import Array

__all__ = ["agreed", "certainty", "compared", "confirmed", "mapped", "nothing", "spanned", "traded", "valued"]


def nothing(summary: Summary) -> str:
    """What to do with an empty study.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.recommend import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> nothing(found)
    's: nothing evaluated yet; run `foretaste run RECIPE`'
    """
    return f"{summary.name}: nothing evaluated yet; run `foretaste run RECIPE`"


def certainty(summary: Summary) -> str:
    """How sure the recommendation is: what joint runs confirm, by which previews, and what joint runs say of those.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.recommend import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> certainty(found)
    'No previews of the method simple yet, so nothing is recommended; run `foretaste preview`.'
    """
    if summary.recommendation is None:
        return f"No previews of the method {summary.method} yet, so nothing is recommended; run `foretaste preview`."
    said, rests = [confirmed(summary)], f"It rests on previews by {summary.method}"
    if summary.trust is None:
        said.append(f"{rests}; no weighting has both one and a joint run, so nothing is known of how far to trust them.")
    else:
        said.append(f"{rests}. {verdict(summary.trust, worst=summary.preference.kind == 'worst')}")
    return " ".join(said)


def confirmed(summary: Summary) -> str:
    """Whether joint finetuning bears the recommendation out.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.recommend import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> confirmed(found)
    'Not confirmed: there is no joint run at these weights yet; run `foretaste confirm`.'
    """
    found = confirmation(summary)
    if found is None:
        return "Not confirmed: there is no joint run at these weights yet; run `foretaste confirm`."
    change = signed(found.joint_value - found.previewed_value)
    text = f"Joint finetuning at these weights gives {number(found.joint_value)} ({change} against the preview)"
    text += "" if found.floors_met else ", and does not keep the floors"
    if found.better:
        weights, value = found.better
        return f"{text}. A joint run at other weights suits better: {number(value)} at {shares(weights)}."
    return f"{text}; {counted(len(summary.joint.rows), 'joint run')} in the study, none better."


def mapped(summary: Summary, task: str) -> str:
    """A task's map: range over the previews, the recommended point, range over the joint runs.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.recommend import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.task import Evaluation, Fidelity
    >>> from foretaste.weights import lattice
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.PREVIEW, "simple") for w in lattice("ab", 2)]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> mapped(found, "a")
    '3 previews: accuracy 0.000 to 1.000, highest at a 100%, b 0%. The recommended weights give 0.500.'
    """
    column = summary.tasks.index(task)
    head = summary.surface.headlines[task]
    found = summary.recommendation
    here = f" The recommended weights give {number(found.expected[task])}." if found else ""
    return _ranges(summary, summary.previews.values()[:, column], summary.joint.values()[:, column], head.metric) + here


def spanned(summary: Summary) -> str:
    """The range of every task over the previews, in one sentence.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.recommend import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.task import Evaluation, Fidelity
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
    >>> from foretaste.surface.recommend import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.task import Evaluation, Fidelity
    >>> from foretaste.weights import lattice
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.PREVIEW, "simple") for w in lattice("ab", 2)]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> valued(found)
    '3 previews: value 0.500 to 0.500, highest at a 100%, b 0%. The recommended weights give 0.500.'
    """
    found = summary.recommendation
    here = f" The recommended weights give {number(found.value)}." if found else ""
    return _ranges(summary, summary.values(summary.previews), summary.values(summary.joint), "value") + here


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
    >>> from foretaste.surface.recommend import Preference
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
    return f"{counted(found.points, 'weighting')} with both; mean absolute error: {errors}. On the line, preview and joint run agree."


def agreed(summary: Summary) -> str:
    """The methods beside each other.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.recommend import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.task import Evaluation, Fidelity
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
