"""An explanation: what is recommended, what to expect, why, how sure that is, and what to do next, in sentences."""

from collections.abc import Iterator

from foretaste.report.captions import confirmed, nothing, outlooked, valuation
from foretaste.report.summary import Summary
from foretaste.report.wording import counted, number, share, shares, signed, span
from foretaste.surface.outlook import Outlook
from foretaste.surface.pareto import is_efficient
from foretaste.surface.recommend import Recommendation

__all__ = ["explained", "fronted"]

_LIKELY = 0.5
_MANY = 5  # tasks from which on a front answers little
_LITTLE = 0.02  # of what there is to choose
_ALL = 0.995


def explained(summary: Summary) -> list[str]:
    """The explanation, a paragraph a string.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> explained(found)
    ['s: nothing evaluated yet; run `foretaste run RECIPE`']
    """
    chosen, seen = summary.recommendation, summary.outlook
    if chosen is None or seen is None:
        return [nothing(summary) if not summary.surface.rows else "There are too few rows to recommend from; run `foretaste preview`."]
    return [
        f"Recommended: {shares(chosen.weights)}. {chosen.reason[0].upper()}{chosen.reason[1:]}: {valuation(chosen, summary.measure)}.",
        *([summary.caution] if summary.caution else []),
        " ".join(_tasks(summary, chosen)),
        *([" ".join(_floors(chosen))] if chosen.floors else []),
        _basis(chosen, seen),
        " ".join(_others(chosen)),
        f"Expected of joint finetuning: {fronted(seen)}",
        f"{confirmed(summary)} {_next(chosen, seen, summary)}",
    ]


def _tasks(summary: Summary, found: Recommendation) -> Iterator[str]:
    for task, weight in found.weights.items():
        said = f"{task} (weight {share(weight)}): {summary.surface.headlines[task].metric} {number(found.expected[task])} expected"
        alone = summary.single.get(task)
        against = "" if alone is None else f", {signed(found.expected[task] - alone)} against its single-task model"
        yield f"{said}, in 9 of 10 cases {span(found.low[task], found.high[task])}{against}."


def _floors(found: Recommendation) -> Iterator[str]:
    for kept in found.floors:
        yield f"{kept.floor} holds with probability {kept.chance:.0%}."
    if len(found.floors) > 1:
        yield f"All of them hold together with probability {found.chance:.0%}."


def _basis(found: Recommendation, seen: Outlook) -> str:
    errors = [error for error in seen.prediction.errors.values() if error is not None]
    if not errors:
        return f"The prediction rests on {found.basis}."
    off = number(sum(errors) / len(errors))
    return f"The prediction rests on {found.basis}. Joint runs predicted from all the others are off by {off} on average."


def _others(found: Recommendation) -> Iterator[str]:
    if not found.runners_up:
        yield "There are no other weights to speak of."
    for other in found.runners_up:
        told = "cannot be told apart from it yet" if other.undecided else "is worse for all that is known"
        changes = ", ".join(f"{task} {signed(change)}" for task, change in other.difference.items())
        yield f"{shares(other.weights)} {told}: {number(other.value)}, better with probability {other.chance:.0%} ({changes})."


def fronted(seen: Outlook) -> str:
    """What is on the front, how surely, what volume it has, and what settles the choice where nearly everything is on it.

    >>> from foretaste.surface.outlook import outlook
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import lattice
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.JOINT, "joint") for w in lattice("ab", 4)]
    >>> fronted(outlook(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)), lattice("ab", 4)))
    'on the front by their expected metrics are 5 of 5 weightings; more likely than not are 5, first of all ...'
    """
    efficient = int(is_efficient(seen.prediction.median * seen.surface.signs).sum())
    likely, first = int((seen.on_front >= _LIKELY).sum()), int(seen.on_front.argmax())
    leader = f"{shares(seen.points[first])}, with probability {seen.on_front[first]:.0%}"
    said = f"on the front by their expected metrics are {efficient} of {counted(len(seen.points), 'weighting')}; "
    said += (
        f"more likely than not are {likely}, first of all {leader}" if likely else f"none is more likely than not; likeliest is {leader}"
    )
    middle, low, high = seen.hypervolume
    if low < _ALL:  # else what is not known of single weightings is more than what they differ by
        said += f"; its hypervolume is {middle:.0%} of the box between worst and best ({low:.0%} to {high:.0%})"
    said += "."
    if len(seen.surface.tasks) >= _MANY:
        said += " With so many tasks a front settles little: decide by requirements (--floor) or by the worst task (--prefer worst)."
    return said


def _next(found: Recommendation, seen: Outlook, summary: Summary) -> str:
    values = seen.values(summary.preference).mean(0)
    little = found.next_gain < _LITTLE * float(values.max() - values.min())
    enough = "That is little: what there is to choose is known well enough."
    advice = enough if little else "`foretaste search RECIPE` makes it where it tells most."
    return f"{outlooked(found)} {advice}"
