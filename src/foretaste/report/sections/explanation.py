"""An explanation in sentences: what is recommended, what to expect, why, how sure that is, and what to do next."""

from collections.abc import Iterator

from foretaste.document.wording import counted, interval, number, share, shares, signed
from foretaste.report.sections.certainty import (
    describe_confirmation,
    describe_next_run,
    describe_reason,
    is_settled,
    nothing_yet,
    too_few,
)
from foretaste.report.summary import Summary
from foretaste.surface.outlook import Outlook
from foretaste.surface.pareto import is_efficient
from foretaste.surface.recommend import Recommendation

__all__ = ["describe_front", "explain"]

_MANY = 5  # tasks from which on a front answers little
_ALL = 0.995
_ADVICE = " `foretaste search RECIPE` makes the joint runs that tell most."


def explain(summary: Summary) -> list[str]:
    """Explain the recommendation, a paragraph a string.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> explain(
    ...     summarise(
    ...         surface,
    ...         name="s",
    ...         method="simple",
    ...         preference=Preference("mean", {}),
    ...         floors=(),
    ...         provenance={},
    ...         costs={},
    ...     )
    ... )
    ['s has no results yet; run `foretaste run RECIPE`']
    """
    best, outlook = summary.recommendation, summary.outlook
    if best is None or outlook is None:
        return [too_few(summary) if summary.surface.rows else nothing_yet(summary)]
    return [
        f"Recommended: {shares(best.weights)}. {describe_reason(summary)}",
        *([summary.caution] if summary.caution else []),
        " ".join(_tasks(summary, best)),
        *([" ".join(_floors(best))] if best.floors else []),
        _basis(best, outlook),
        " ".join(_others(best)),
        describe_front(outlook),
        f"{describe_confirmation(summary)} {describe_next_run(summary)}{_advice(summary)}",
    ]


def _advice(summary: Summary) -> str:
    """Say how to make another joint run, where one may change the choice."""
    if is_settled(summary):
        return ""
    return " `foretaste ask STUDY` says which run tells most." if summary.is_from_outside else _ADVICE


def _tasks(summary: Summary, best: Recommendation) -> Iterator[str]:
    for task in best.expected:
        weight = best.weights.get(task)
        title = task if weight is None else f"{task} (weight {share(weight)})"
        alone = summary.single.get(task)
        against = "" if alone is None else f", {signed(best.expected[task] - alone)} against its single-task model"
        metric, expected = summary.surface.headlines[task].metric, number(best.expected[task])
        yield (f"{title}: expected {metric} {expected} ({interval(best.low[task], best.high[task])}){against}.")


def _floors(best: Recommendation) -> Iterator[str]:
    for floor in best.floors:
        yield f"{floor.floor} holds with probability {floor.chance:.0%}."
    if len(best.floors) > 1:
        yield f"All floors hold together with probability {best.chance:.0%}."


def _basis(best: Recommendation, outlook: Outlook) -> str:
    rests = f"The prediction rests on {best.basis}."
    errors = [error for error in outlook.prediction.errors.values() if error is not None]
    if not errors:
        return rests
    return (
        f"{rests} Predicting each joint run from all others is off by {number(sum(errors) / len(errors))} on average."
    )


def _others(best: Recommendation) -> Iterator[str]:
    if not best.runners_up:
        yield "There are no runners-up."
    for other in best.runners_up:
        verdict = "too close to call" if other.undecided else "probably worse"
        changes = ", ".join(f"{task} {signed(change)}" for task, change in other.difference.items())
        yield (
            f"{shares(other.weights)}: {verdict}, {number(other.value)}, better with probability {other.chance:.0%}"
            f" ({changes})."
        )


def describe_front(outlook: Outlook) -> str:
    """Say how much is on the expected Pareto front, and what settles the choice where nearly everything is.

    >>> from foretaste.surface.outlook import outlook
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.simplex import lattice
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.JOINT, "joint") for w in lattice("ab", 4)]
    >>> describe_front(outlook(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)), lattice("ab", 4)))
    '5 of 5 weightings are on the expected Pareto front...'
    """
    efficient = int(is_efficient(outlook.prediction.median * outlook.surface.signs).sum())
    count = counted(len(outlook.points), "weighting")
    text = f"{efficient} of {count} {'is' if efficient == 1 else 'are'} on the expected Pareto front."
    middle, low, high = outlook.hypervolume
    if low < _ALL:  # else the uncertainty of single weightings is larger than what they differ by
        text += (
            f" The front dominates {middle:.0%} of the box between the worst and best expected metrics ({low:.0%} to"
            f" {high:.0%})."
        )
    if len(outlook.surface.tasks) >= _MANY:
        text += (
            " With so many tasks a front settles little: set floors (--floor) or look at the worst task (--prefer"
            " worst)."
        )
    return text
