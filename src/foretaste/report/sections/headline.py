"""What a study found, in two or three sentences for someone who reads nothing else."""

from foretaste.document.wording import joined, number, shares, signed
from foretaste.report.sections.certainty import too_few
from foretaste.report.summary import Summary
from foretaste.surface.recommend import Recommendation
from foretaste.weights import TaskWeights, uniform

__all__ = ["headline"]

_FEWEST = 5  # with fewer joint runs, previews are not judged
_MUCH = 0.25  # of the gap between the best and the worst joint run: a choice that gives up more is named
_FAR = 0.5  # of the range of the joint runs' means: previews that are off by more are named


def headline(summary: Summary) -> str:
    """Say which weights to choose, what they gain over equal weights, and where previews alone would have misled.

    Numbers come from joint runs where the study has them, and from the prediction otherwise.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> empty = Surface({"a": Headline("f1"), "b": Headline("f1")}, ())
    >>> headline(
    ...     summarise(
    ...         empty, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    ...     )
    ... )
    'Too few results to recommend weights. Run `foretaste preview RECIPE`, which covers the whole simplex.'
    """
    best = summary.recommendation
    if best is None:
        return too_few(summary)
    choice = f"Choose {shares(best.weights)}."
    if not best.floors_met:
        floors = joined([str(floor) for floor in summary.floors])
        choice = f"No weights are likely to keep {floors}; {shares(best.weights)} come nearest."
    sentences = [choice, _gain(summary, best), _misled(summary)]
    return " ".join(filter(None, sentences))


def _gain(summary: Summary, best: Recommendation) -> str:
    """Compare the chosen weights with equal ones: by their joint runs, or else by the prediction."""
    equal, goal = uniform(best.weights.names), f"for {_goal(summary)}"
    measured, measured_equal = _joint_value(summary, best.weights), _joint_value(summary, equal)
    if best.weights == equal:
        give = f"they give {number(best.value if measured is None else measured)} {goal}"
        return f"These are equal weights. {'By the prediction' if measured is None else 'In joint finetuning'} {give}."
    if measured is None or measured_equal is None:
        text, value = "Joint finetuning with them is expected to give", best.value
        other = None if best.gain is None else best.value - best.gain
    else:
        text, value, other = "Joint finetuning with them gives", measured, measured_equal
    than_equal = "" if other is None else f", and {number(other)} with equal weights ({signed(value - other)})"
    return f"{text} {number(value)} {goal}{than_equal}."


def _misled(summary: Summary) -> str:
    """Name the previews that alone would have chosen much worse weights, or are far off, judged by joint runs."""
    if len(summary.joint.rows) < _FEWEST:
        return ""
    values = dict(zip([row.weights for row in summary.joint.rows], summary.values(summary.joint), strict=True))
    best, sentences = max(values.values()), []
    for agreement in summary.agreements:
        previews = summary.previews_by(agreement.method)
        by_weights = dict(zip([row.weights for row in previews.rows], summary.values(previews), strict=True))
        weights = max(by_weights.keys() & values.keys(), key=by_weights.__getitem__)
        if best - values[weights] > _MUCH * (best - min(values.values())):
            sentences.append(
                f"Of the weights with a joint run, the {agreement.method} previews alone would choose"
                f" {shares(weights)}, which give {number(values[weights])}."
            )
        elif agreement.mean_error > _FAR * agreement.spread:
            sentences.append(
                f"The {agreement.method} previews alone are off by {number(agreement.mean_error)} on average."
            )
    return " ".join(sentences)


def _joint_value(summary: Summary, weights: TaskWeights) -> float | None:
    row = summary.joint.at(weights)
    if row is None:
        return None
    place = summary.joint.rows.index(row)
    return float(summary.values(summary.joint)[place])


def _goal(summary: Summary) -> str:
    """Name what the numbers measure."""
    return f"the {summary.objective.removeprefix('the ')}"
