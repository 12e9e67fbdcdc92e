"""What the explorer begins with, as JSON: rows, and predictions of joint runs all over the simplex."""

from collections.abc import Mapping, Sequence

import numpy as np

from foretaste.report.json import plain
from foretaste.report.page import page
from foretaste.report.records import study_record
from foretaste.report.sections.headline import headline
from foretaste.report.sections.study import study_facts, study_report
from foretaste.report.summary import Summary
from foretaste.simplex import dirichlet, lattice
from foretaste.surface.predict import Predictor
from foretaste.surface.spline import Spline
from foretaste.surface.table import Surface
from foretaste.weights import TaskWeights, corners, uniform

__all__ = ["explorer_state", "grid_of", "predict_at", "study_page"]

_CURVE, _TRIANGLE, _SCATTER = 100, 40, 500
_CHUNK = 60


def study_page(summary: Summary) -> str:
    """Write a study's report with its explorer as one HTML file that needs no network and no server.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline
    >>> surface = Surface({"a": Headline("accuracy")}, ())
    >>> summary = summarise(
    ...     surface, name="<s>", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    ... )
    >>> "&lt;s&gt; has no results yet" in study_page(summary)
    True
    """
    return page(study_report(summary), explorer_state(summary) if summary.surface.rows else {})


def explorer_state(summary: Summary) -> dict[str, object]:
    """Make all that the explorer begins with.

    ``prediction`` holds the expected metrics at weightings all over the simplex, `[N, T]` each, from which a page
    interpolates: ``resolution`` says that they are a lattice's, in its order; where it is 0 they are scattered, and
    ``splines`` go through them (`foretaste.surface.spline`). ``known`` holds those of a lattice at weightings that were
    evaluated: what is expected there is surer than between them, which no interpolation can tell.

    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ())
    >>> summary = summarise(
    ...     surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    ... )
    >>> explorer_state(summary)["prediction"] is None, explorer_state(summary)["tasks"][0]["name"]
    (True, 'a')
    """
    record = study_record(summary)
    heads, single = summary.surface.headlines, summary.single
    tasks = [
        {"name": task, "metric": head.metric, "higher_is_better": head.higher_is_better, "single": single.get(task)}
        | {"logarithm": head.is_perplexity, "train_examples": head.train_examples}
        for task, head in heads.items()
    ]
    rows = [
        {
            "weights": list(row.weights.values()),
            "fidelity": str(row.fidelity),
            "method": row.label,
            "seed": row.seed,
            "cost": row.cost,
            "hash": row.key[:12],
            "values": [row.metrics.get(task, {}).get(head.metric) for task, head in heads.items()],
        }
        for row in summary.surface.rows
    ]
    shared = ("name", "method", "recommendation", "confirmation", "agreements", "floors", "provenance", "costs")
    preference = {
        "kind": summary.preference.kind,
        "importance": dict(summary.preference.importance),
        "text": str(summary.preference),
    }
    preference["measure"] = summary.measure
    return {key: plain(record[key]) for key in shared} | {
        "tasks": plain(tasks),
        "facts": study_facts(summary),
        "headline": headline(summary),
        "weight_names": list(summary.weight_names),
        "is_from_outside": summary.is_from_outside,
        "inside": summary.surface.has_private_heads,
        "rows": plain(rows),
        "preference": preference,
        "prediction": _prediction(summary),
    }


def _prediction(summary: Summary) -> dict[str, object] | None:
    if summary.outlook is None:
        return None
    surface, predictor = summary.outlook.surface, summary.outlook.predictor
    points, resolution = grid_of(surface)
    first = [summary.recommendation.weights] if summary.recommendation else []
    tried = list(dict.fromkeys([*first, *(row.weights for row in surface.rows)]))  # what people look at first is exact
    table = predict_at(predictor, points if resolution else list(dict.fromkeys([*tried, *points])))
    more = {"known": predict_at(predictor, tried)} if resolution else {"splines": _splines(table)}
    return {"resolution": resolution, "basis": summary.outlook.prediction.basis, **table, **more}


def _splines(tables: Mapping[str, list[list[float]]]) -> dict[str, object]:
    """Fit splines through the median and both ends of the interval, for a page to evaluate."""
    points = np.array(tables["weights"])
    splines = {name: Spline.through(points, np.array(table)) for name, table in tables.items() if name != "weights"}
    return {
        name: {
            "coefficients": np.round(spline.coefficients, 7).tolist(),
            "constants": np.round(spline.constants, 6).tolist(),
        }
        for name, spline in splines.items()
    }


def predict_at(predictor: Predictor, points: Sequence[TaskWeights]) -> dict[str, list[list[float]]]:
    """Predict metrics with 90 % intervals at any weightings, `[N, T]` each, as lists.

    Args:
        predictor: From a study's rows.
        points: N of them.

    >>> from foretaste.surface.predict import fit_predictor
    >>> from foretaste.surface.table import Headline
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.JOINT, "joint") for w in lattice("ab", 2)]
    >>> predictor = fit_predictor(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)))
    >>> prediction = predict_at(predictor, [uniform("ab")])
    >>> prediction["weights"], len(prediction["median"][0])
    ([[0.5, 0.5]], 2)
    """
    parts = [predictor.at(points[start : start + _CHUNK]) for start in range(0, len(points), _CHUNK)]
    tables = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("median", "low", "high")}
    return {
        "weights": [list(point.values()) for point in points],
        **{name: np.round(table, 6).tolist() for name, table in tables.items()},
    }


def grid_of(surface: Surface) -> tuple[list[TaskWeights], int]:
    """List weightings to predict at: a fine lattice for 2 or 3 tasks.

    Scattered ones for more, on faces too where joint runs may be.

    >>> from foretaste.surface.table import Headline
    >>> [len(grid_of(Surface({t: Headline("accuracy") for t in names}, ()))[0]) for names in ("ab", "abc", "abcd")]
    [101, 861, 1005]
    """
    names = surface.weight_names
    if len(names) <= 3:
        resolution = {1: 1, 2: _CURVE}.get(len(names), _TRIANGLE)
        return lattice(names, resolution), resolution
    random = np.random.default_rng(0)
    scattered = [
        _draw_weights(names, random, surface.has_private_heads, concentration)
        for concentration in (1.0, 0.3)
        for _ in range(_SCATTER)
    ]
    return [*corners(names), uniform(names), *scattered], 0


def _draw_weights(names: Sequence[str], random: np.random.Generator, inside: bool, concentration: float) -> TaskWeights:
    """Draw weights at random: of some tasks, the others having none, or of all."""
    chosen = list(names) if inside else random.choice(names, random.integers(2, len(names) + 1), replace=False).tolist()
    weights = dict(dirichlet(chosen, 1, random, concentration)[0])
    return TaskWeights(names, [weights.get(name, 0.0) for name in names])
