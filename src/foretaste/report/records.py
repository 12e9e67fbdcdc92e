"""Records: what a report holds as numbers under names, for machines. `foretaste.report.json` writes them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

from foretaste.evaluation import Evaluation
from foretaste.readable import Record
from foretaste.report.confirmation import Confirmation, confirm_recommendation
from foretaste.report.sections.mergeability import RULE, advise
from foretaste.report.summary import Summary, verdict
from foretaste.surface.agreement import Agreement
from foretaste.surface.comparison import Comparison
from foretaste.surface.hindsight import coverage, mean_error
from foretaste.surface.joint_shares import shares_record
from foretaste.surface.mergeability import Mergeability
from foretaste.surface.outlook import Outlook, evaluated_weights
from foretaste.surface.pareto import front
from foretaste.surface.race import ERROR
from foretaste.surface.race_result import Gap, RaceResult
from foretaste.surface.recommend import Alternative, Recommendation
from foretaste.surface.searched import SearchResult
from foretaste.surface.table import Headline

__all__ = [
    "comparison_record",
    "mergeability_record",
    "race_records",
    "recommendation_record",
    "row_record",
    "search_record",
    "study_record",
]


def study_record(summary: Summary) -> Record:
    """Record all of a study's summary.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Surface
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> summary = summarise(
    ...     surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    ... )
    >>> study_record(summary)["method"], study_record(summary)["rows"]
    ('simple', [])
    """
    confirmation, best, worst = (
        confirm_recommendation(summary),
        summary.recommendation,
        summary.preference.kind == "worst",
    )
    better = confirmation and confirmation.better and dict(zip(("weights", "value"), confirmation.better, strict=True))
    surfaces = {"preview": summary.previews, "joint": summary.joint}
    return {
        "name": summary.name,
        "tasks": {task: _fields(head) for task, head in summary.surface.headlines.items()},
        "method": summary.method,
        "preference": str(summary.preference),
        "caution": summary.caution,
        "floors": [str(floor) for floor in summary.floors],
        "recommendation": best and recommendation_record(best),
        "joint_run": best and summary.joint_data and shares_record(summary.joint_data, best.weights),
        "prediction": summary.outlook and _prediction(summary.outlook),
        "single_task": summary.single,
        "confirmation": confirmation
        and _fields(confirmation) | {"difference": confirmation.difference, "better": better},
        "agreements": [
            _fields(agreement) | {"mean_error": agreement.mean_error, "verdict": verdict(agreement, worst=worst)}
            for agreement in summary.agreements
        ],
        "front": {name: [row.weights for row in front(surface).rows] for name, surface in surfaces.items()},
        "rows": [row_record(row) | {"key": row.key} for row in summary.surface.rows],
        "provenance": summary.provenance,
        "costs": summary.costs,
    }


def recommendation_record(best: Recommendation) -> Record:
    """Record a recommendation: weights, expected metrics with intervals, floors and runners-up."""
    floors = [{"floor": str(floor.floor), "chance": floor.chance} for floor in best.floors]
    others = [_fields(other) | {"undecided": other.undecided} for other in best.runners_up]
    return _fields(best) | {"floors": floors, "floors_met": best.floors_met, "runners_up": others}


def _prediction(outlook: Outlook) -> Record:
    """Record what joint runs are expected to give at the evaluated weightings, with 90 % intervals."""
    points, prediction = evaluated_weights(outlook.surface), outlook.prediction
    places = [outlook.places[weights] for weights in points]
    tables = {"median": prediction.median, "low": prediction.low, "high": prediction.high}
    return {
        "metrics": {task: head.metric for task, head in outlook.surface.headlines.items()},
        "basis": prediction.basis,
        "error_left_out": prediction.errors,
        "weights": list(points),
        **{name: table[places].tolist() for name, table in tables.items()},
        "chance_on_front": outlook.on_front[places].tolist(),
    }


def _fields(value: Headline | Recommendation | Alternative | Confirmation | Agreement | Evaluation) -> Record:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def row_record(row: Evaluation) -> Record:
    """Record an evaluation.

    >>> from foretaste.evaluation import Fidelity
    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform("ab"), {t: {"accuracy": 0.9} for t in "ab"}, Fidelity.JOINT, "joint")
    >>> row_record(row)["weights"]
    {'a': 0.5, 'b': 0.5}
    """
    return {
        "weights": dict(row.weights),
        "fidelity": str(row.fidelity),
        "method": row.label,
        "seed": row.seed,
        "metrics": {task: dict(metrics) for task, metrics in row.metrics.items()},
        "cost": row.cost,
    }


def race_records(races: Sequence[RaceResult]) -> list[Record]:
    """Record races: rows, those that stopped, and how each stands to the best.

    >>> from foretaste.evaluation import Fidelity
    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform("a"), {"a": {"accuracy": 0.9}}, Fidelity.PREVIEW, "simple")
    >>> race_records([RaceResult("simple", (row,), (), row.weights, {}, 10, 40)])[0]["best"]
    {'a': 1.0}
    """
    return [
        {
            "method": race.method,
            "rows": [row_record(row) | _gap_record(race.gaps.get(row.weights)) for row in race.rows],
            "dropped": [
                {"weights": dict(one.weights), "examples": one.examples, "value": one.value, "missing": one.missing}
                | _gap_record(one.gap)
                for one in race.dropped
            ],
            "best": dict(race.best),
            "undecided": [dict(weights) for weights in race.undecided],
            "evaluated": race.evaluated,
            "whole": race.whole,
            "error": ERROR,
            "reason": race.reason,
        }
        for race in races
    ]


def _gap_record(apart: Gap | None) -> Record:
    return {} if apart is None else asdict(apart)


def search_record(search: SearchResult) -> Record:
    """Record a search: what it spent, why it stopped, and predictions beside results.

    >>> from foretaste.surface.outlook import outlook
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.recommend import recommend
    >>> from foretaste.surface.searched import Budget
    >>> from foretaste.surface.table import Surface
    >>> from foretaste.evaluation import Fidelity
    >>> from foretaste.weights import corners
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.JOINT, "joint") for w in corners("ab")]
    >>> prediction = outlook(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)), corners("ab"))
    >>> search_record(SearchResult(recommend(prediction, Preference("mean", {})), Budget(1, 2, 3), "done", {}, ()))[
    ...     "spent"
    ... ]
    {'joint': 1, 'previews': 2, 'sharpened': 3}
    """
    runs = [
        {"weights": run.weights, "expected": run.expected.tolist(), "low": run.low.tolist(), "high": run.high.tolist()}
        | {"real": run.real.tolist()}
        for run in search.past_predictions
    ]
    return {
        "spent": asdict(search.spent),
        "stopped": search.stopped,
        "failed": dict(search.failed),
        "foretold": runs,
        "coverage": coverage(search.past_predictions),
        "mean_error": mean_error(search.past_predictions),
    }


def comparison_record(comparison: Comparison) -> Record:
    """Record a comparison of methods.

    >>> from foretaste.surface.comparison import MethodComparison, Regret
    >>> even = {"a": 0.01, "b": 0.03}
    >>> near = Agreement("simple", 3, even, even, {"a": None, "b": None}, 0.5, None, None, 0.0, 0.01, 0.1)
    >>> comparison = Comparison(
    ...     (MethodComparison(near, "averaging", "preview", 2.0, 0.001),), {"uniform": Regret(0.02, 0.0)}, 75.0
    ... )
    >>> comparison_record(comparison)["rivals"]
    {'uniform': {'mean': 0.02, 'worst': 0.0}}
    """
    methods = [
        asdict(method.agreement)
        | {"mean_error": method.agreement.mean_error, "title": method.title, "kind": method.kind}
        | {"cost_once": method.once, "cost_each": method.each}
        for method in comparison.methods
    ]
    rivals: Mapping[str, object] = {name: asdict(regret) for name, regret in comparison.rivals.items()}
    return {"best": comparison.best, "methods": methods, "rivals": rivals, "joint_seconds": comparison.joint_seconds}


def mergeability_record(mergeability: Mergeability) -> Record:
    """Record whether the tasks' models can be merged.

    >>> mergeability_record(Mergeability((), ()))["pairs"]
    []
    """
    names = ("tasks", "shares", "losses", "barrier", "peak", "own", "half", "kept", "verdict")
    return {
        "pairs": [{name: getattr(pair, name) for name in names} for pair in mergeability.pairs],
        "corners": [asdict(corner) for corner in mergeability.corners],
        "advice": advise(mergeability),
        "rule": RULE,
    }
