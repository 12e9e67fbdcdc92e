"""Sentences about a recommendation: why these weights, and how sure that is."""

import numpy as np

from foretaste.document.wording import counted, interval, joined, number, shares, signed
from foretaste.report.confirmation import confirm_recommendation
from foretaste.report.summary import Summary
from foretaste.surface.outlook import Outlook, choosable_weights
from foretaste.surface.preference import Preference
from foretaste.surface.recommend import SURE, Alternative, Recommendation
from foretaste.weights import TaskWeights, uniform

__all__ = [
    "describe_certainty",
    "describe_confirmation",
    "describe_next_run",
    "describe_reason",
    "describe_runner_up",
    "describe_value",
    "is_settled",
    "nothing_yet",
    "too_few",
]

_TOO_FEW = "Too few results to recommend weights. Run `foretaste preview RECIPE`, which covers the whole simplex."
_LITTLE = 0.02  # of what there is to choose


def nothing_yet(summary: Summary) -> str:
    """Say what to do with an empty study.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.table import Headline, Surface
    >>> empty = Surface({"a": Headline("accuracy")}, ())
    >>> nothing_yet(
    ...     summarise(
    ...         empty, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    ...     )
    ... )
    's has no results yet; run `foretaste run RECIPE`'
    """
    if summary.is_from_outside:
        return f"{summary.name} has no results yet; `foretaste ask` says what to run, `foretaste tell` adds results"
    return f"{summary.name} has no results yet; run `foretaste run RECIPE`"


def too_few(summary: Summary) -> str:
    """Say that results are too few to recommend weights, and what to do.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.table import Headline, Surface
    >>> empty = Surface({"a": Headline("accuracy")}, (), is_from_outside=True)
    >>> too_few(
    ...     summarise(empty, name="s", method="", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    ... )
    'Too few results to recommend weights. `foretaste ask STUDY` says what to run next.'
    """
    if summary.is_from_outside:
        return "Too few results to recommend weights. `foretaste ask STUDY` says what to run next."
    return _TOO_FEW


def describe_reason(summary: Summary) -> str:
    """Say why these weights are recommended: a sentence with the expected value and its interval.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.simplex import lattice
    >>> rows = [
    ...     Evaluation(w, {t: {"accuracy": w[t] ** 0.5} for t in w}, Fidelity.JOINT, "joint") for w in lattice("ab", 4)
    ... ]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> summary = summarise(
    ...     surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    ... )
    >>> describe_reason(summary)
    'Highest expected mean of 5 weightings: 0.7... (90 % interval 0.6... to 0.7...). These are equal weights.'
    """
    best, outlook = summary.recommendation, summary.outlook
    assert best is not None
    assert outlook is not None
    count = counted(len(choosable_weights(outlook.surface)), "weighting")
    highest = f"Highest expected {_goal(summary.preference)} of"
    if not summary.floors:
        return f"{highest} {count}: {describe_value(best, summary.measure)}"
    floors = joined([str(floor) for floor in summary.floors])
    if not best.floors_met:
        likeliest = f"These weights have the best chance, {best.chance:.0%}."
        return (
            f"None of {count} is likely (at least {SURE:.0%}) to keep {floors}. {likeliest} {_expected(best, summary)}"
        )
    likely = _likely_to_keep(outlook, summary)
    return (
        f"{highest} the {likely} out of {count} that {'is' if likely == 1 else 'are'} likely (at least {SURE:.0%}) to"
        f" keep {floors}: " + (describe_value(best, summary.measure))
    )


def _expected(best: Recommendation, summary: Summary) -> str:
    return f"Expected {_goal(summary.preference)}: {describe_value(best, summary.measure)}"


def _goal(preference: Preference) -> str:
    """Name the number that is made as large as possible."""
    match preference.kind:
        case "mean":
            return "mean"
        case "worst":
            return "metric of the worst task"
        case "knee":
            return f"value for {preference}"
    return str(preference).removeprefix("the ")


def _likely_to_keep(outlook: Outlook, summary: Summary) -> int:
    """Count the evaluated weightings that are likely to keep all floors."""
    places = [outlook.places[weights] for weights in choosable_weights(outlook.surface)]
    missed = outlook.shortfalls(summary.floors, measured=True).max(-1, initial=0.0)
    return int((np.asarray((missed <= 0).mean(0))[places] >= SURE).sum())


def describe_value(best: Recommendation, measure: str = "value") -> str:
    """Write the expected value, and what is gained against equal weights, with 90 % intervals.

    Args:
        best: The recommendation.
        measure: The name of the preference's number.

    >>> from foretaste.surface.outlook import outlook
    >>> from foretaste.surface.recommend import recommend
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.simplex import lattice
    >>> rows = [
    ...     Evaluation(w, {t: {"accuracy": w[t] ** 0.5} for t in w}, Fidelity.JOINT, "joint") for w in lattice("ab", 4)
    ... ]
    >>> prediction = outlook(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)), lattice("ab", 4))
    >>> describe_value(recommend(prediction, Preference("mean", {})))
    '0.7... (90 % interval 0.6... to 0.7...). These are equal weights.'
    """
    name = "" if measure == "value" else f"{measure} "
    text = f"{name}{number(best.value)} ({interval(best.value_low, best.value_high)})."
    if best.gain is None or best.gain_low is None or best.gain_high is None:
        return text
    if best.weights == uniform(best.weights.names):
        return f"{text} These are equal weights."
    if best.gain_low <= 0:
        return (
            f"{text} Equal weights may be as good: {signed(best.gain)} against them"
            f" ({interval(best.gain_low, best.gain_high)})."
        )
    return f"{text} That is {signed(best.gain)} against equal weights ({interval(best.gain_low, best.gain_high)})."


def describe_certainty(summary: Summary) -> str:
    """Say how sure the recommendation is: confirmed or not, what it rests on, what another run may bring.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.table import Headline, Surface
    >>> empty = Surface({"a": Headline("accuracy")}, ())
    >>> summary = summarise(
    ...     empty, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    ... )
    >>> describe_certainty(summary)
    'Too few results to recommend weights. Run `foretaste preview RECIPE`, which covers the whole simplex.'
    """
    best = summary.recommendation
    if best is None:
        return too_few(summary)
    return f"{describe_confirmation(summary)} The prediction rests on {best.basis}. {describe_next_run(summary)}"


def describe_confirmation(summary: Summary) -> str:
    """Say whether a joint run confirms the recommendation.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.table import Headline, Surface
    >>> empty = Surface({"a": Headline("accuracy")}, ())
    >>> summary = summarise(
    ...     empty, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    ... )
    >>> describe_confirmation(summary)
    'Not confirmed: no joint run at these weights yet; run `foretaste confirm RECIPE`.'
    """
    confirmation = confirm_recommendation(summary)
    if confirmation is None:
        how = "tell its result" if summary.is_from_outside else "run `foretaste confirm RECIPE`"
        return f"Not confirmed: no joint run at these weights yet; {how}."
    name = "" if summary.measure == "value" else f"{summary.measure} "
    text = f"Joint finetuning at these weights gives {name}{number(confirmation.joint_value)}"
    if confirmation.anchored:
        text += " (the previews are anchored to this joint run)"
    elif confirmation.value_difference is not None:
        text += f" ({signed(confirmation.value_difference)} against the preview)"
    text += "" if confirmation.floors_met else ", which misses the floors"
    if confirmation.better:
        weights, value = confirmation.better
        return f"{text}. The joint run at {shares(weights)} measured {number(value)}{_expected_at(summary, weights)}."
    return f"{text}. None of the study's {counted(len(summary.joint.rows), 'joint run')} is better."


def _expected_at(summary: Summary, weights: TaskWeights) -> str:
    """Give the expected value where a joint run measured a better one: single runs vary."""
    outlook = summary.outlook
    if outlook is None or weights not in outlook.places:
        return ""
    value = float(outlook.values(summary.preference)[:, outlook.places[weights]].mean())
    return f", but single runs vary: all results together predict {number(value)} there"


def describe_next_run(summary: Summary) -> str:
    """Say what another joint run may bring, and which weights are too close to call.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import corners
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.JOINT, "joint") for w in corners("ab")]
    >>> surface = Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows))
    >>> summary = summarise(
    ...     surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    ... )
    >>> describe_next_run(summary)
    'Another joint run ...'
    """
    best = summary.recommendation
    assert best is not None
    may = "is unlikely to change" if is_settled(summary) else "may change"
    sentence = f"Another joint run {may} the choice (expected gain {number(best.next_gain)})."
    close = "; ".join(shares(other.weights) for other in best.runners_up if other.undecided)
    return f"{sentence} Too close to call: {close}." if close else sentence


def is_settled(summary: Summary) -> bool:
    """Whether another joint run is expected to gain little, compared with what there is to choose."""
    best, outlook = summary.recommendation, summary.outlook
    assert best is not None
    assert outlook is not None
    values = outlook.values(summary.preference).mean(0)
    return best.next_gain < _LITTLE * float(values.max() - values.min())


def describe_runner_up(other: Alternative) -> str:
    """Describe a runner-up: its value, how likely it is the better one, and what changes.

    >>> describe_runner_up(Alternative(uniform("ab"), 0.5, 0.25, {"a": 0.01, "b": -0.02}))
    '0.500 at a 50%, b 50% (a +0.010, b -0.020); better with probability 25%'
    """
    changes = ", ".join(f"{task} {signed(change)}" for task, change in other.difference.items())
    return f"{number(other.value)} at {shares(other.weights)} ({changes}); better with probability {other.chance:.0%}"
