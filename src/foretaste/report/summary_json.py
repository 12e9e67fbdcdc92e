"""A summary as JSON, for machines and for the page's scripts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.confirmation import Confirmation, confirmation
from foretaste.report.summary import Summary, verdict
from foretaste.surface.agreement import Agreement
from foretaste.surface.outlook import Outlook, evaluated
from foretaste.surface.pareto import front
from foretaste.surface.recommend import Alternative, Recommendation
from foretaste.surface.table import Headline
from foretaste.weights import TaskWeights

__all__ = ["plain", "to_json"]


def to_json(summary: Summary) -> dict[str, object]:
    """All of the summary, ready for `json.dumps`; NaN and infinity become None.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Surface
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
