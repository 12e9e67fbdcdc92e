"""Views of results: their records, sections and tables, for `foretaste.readable`."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from foretaste.document.blocks import Section
from foretaste.evaluation import Evaluation, Evaluations
from foretaste.readable import Record, View, register_view
from foretaste.report.json import plain
from foretaste.report.records import (
    comparison_record,
    mergeability_record,
    race_records,
    recommendation_record,
    row_record,
    search_record,
    study_record,
)
from foretaste.report.sections.comparison import comparison_section
from foretaste.report.sections.mergeability import mergeability_section
from foretaste.report.sections.race import race_sections
from foretaste.report.sections.search import search_section
from foretaste.report.sections.study import study_sections
from foretaste.report.sections.work import rows_section
from foretaste.report.summary import Summary
from foretaste.surface.comparison import Comparison
from foretaste.surface.mergeability import Mergeability
from foretaste.surface.race_result import RaceResult, Races
from foretaste.surface.recommend import Recommendation
from foretaste.surface.searched import SearchResult
from foretaste.surface.views import are_of_tasks, weights_table

__all__ = ["row_columns"]

_Result = TypeVar("_Result")


def row_columns(row: Evaluation) -> Record:
    """Lay a row out as columns: how it was made, a weight for each task, and a column for each metric of each task.

    >>> from foretaste.evaluation import Fidelity
    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform("ab"), {t: {"accuracy": 0.9} for t in "ab"}, Fidelity.JOINT, "joint")
    >>> list(row_columns(row))
    ['fidelity', 'method', 'seed', 'weight.a', 'weight.b', 'a.accuracy', 'b.accuracy', 'cost']
    """
    metrics = {f"{task}.{name}": value for task, own in row.metrics.items() for name, value in own.items()}
    start = {"fidelity": str(row.fidelity), "method": row.label, "seed": row.seed}
    return {**start, **_weight_columns(row.weights), **metrics, "cost": row.cost}


def _weight_columns(weights: Mapping[str, float]) -> Record:
    return {f"weight.{task}": share for task, share in weights.items()}


def _flat(record: Record) -> Record:
    """Write the values of mappings as columns of their own."""
    columns: Record = {}
    for name, value in record.items():
        columns |= (
            {f"{key}.{name}": item for key, item in value.items()} if isinstance(value, Mapping) else {name: value}
        )
    return columns


def _recommendation_table(best: Recommendation) -> list[Record]:
    """Lay a recommendation out with a row for each task: its own weight, or every domain's if domains are mixed."""

    def weights_of(task: str) -> Record:
        return {"weight": best.weights.get(task)} if of_tasks else _weight_columns(best.weights)

    of_tasks = are_of_tasks(best.weights, best.expected)
    return [
        {"task": task, **weights_of(task), "expected": expected, "low": best.low[task], "high": best.high[task]}
        for task, expected in best.expected.items()
    ]


def _recommendation_sections(best: Recommendation) -> tuple[Section, ...]:
    return (Section("", (weights_table(best.weights, best.expected, best.low, best.high, title=best.reason),)),)


def _search_table(search: SearchResult) -> list[Record]:
    tasks = search.recommendation.expected
    return [
        _weight_columns(run.weights)
        | {
            f"{task}.{name}": float(column[place])
            for place, task in enumerate(tasks)
            for name, column in (("expected", run.expected), ("low", run.low), ("high", run.high), ("real", run.real))
        }
        for run in search.past_predictions
    ]


def _races_table(races: Iterable[RaceResult]) -> list[Record]:
    return [row_columns(row) for race in races for row in race.rows]


def _view_of_record(
    record_of: Callable[[_Result], Record], section_of: Callable[[_Result], Section], rows: str
) -> View[_Result]:
    """Return the view of a result with one section, whose table has the record's list of this name."""
    return View(
        lambda result: plain(record_of(result)),
        lambda result: (section_of(result),),
        lambda result: [_flat(row) for row in record_of(result)[rows]],
    )


register_view(
    Evaluation,
    View(lambda row: plain(row_record(row)), lambda row: [rows_section([row])], lambda row: [row_columns(row)]),
)
register_view(
    Evaluations,
    View(
        lambda rows: plain([row_record(row) for row in rows]),
        lambda rows: [rows_section(rows)],
        lambda rows: list(map(row_columns, rows)),
    ),
)
register_view(Races, View(lambda races: plain(race_records(races)), race_sections, _races_table))
register_view(
    Recommendation,
    View(lambda best: plain(recommendation_record(best)), _recommendation_sections, _recommendation_table),
)
register_view(
    SearchResult,
    View(
        lambda search: plain(search_record(search)),
        lambda search: (*_recommendation_sections(search.recommendation), search_section(search)),
        _search_table,
    ),
)
register_view(Comparison, _view_of_record(comparison_record, comparison_section, "methods"))
register_view(Mergeability, _view_of_record(mergeability_record, mergeability_section, "pairs"))
register_view(
    Summary,
    View(
        lambda summary: plain(study_record(summary)),
        lambda summary: study_sections(summary, full=False),
        lambda summary: list(map(row_columns, summary.surface.rows)),
    ),
)
