"""Every result has one line, HTML, the record of its command, and a table."""

import json
from collections.abc import Callable

import pandas
import pytest

from foretaste.evaluation import Evaluation, Evaluations, Fidelity
from foretaste.readable import Readable
from foretaste.report.records import row_record
from foretaste.report.summary import Summary
from foretaste.report.views import row_columns
from foretaste.surface.comparison import Comparison, MethodComparison
from foretaste.surface.mergeability import Mergeability, pairs_of
from foretaste.surface.race_result import RaceResult, Races
from foretaste.surface.searched import Budget, SearchResult
from foretaste.weights import corners, uniform

Study = Callable[..., Summary]
ROW = Evaluation(
    uniform("ab"), {task: {"loss": 0.2, "accuracy": 0.9} for task in "ab"}, Fidelity.JOINT, "joint", 3, 2.5
)


def results(make: Study) -> dict[str, tuple[Readable, int]]:
    """A result of each type, and how many rows its table has."""
    summary = make("ab", joint=[*corners("ab"), uniform("ab")])
    assert summary.recommendation is not None
    search = SearchResult(summary.recommendation, Budget(1, 2, 3), "done", {}, ())
    race = RaceResult("simple", (ROW,), (), ROW.weights, {}, 10, 40)
    pairs = pairs_of(summary.surface.where(Fidelity.PREVIEW, "simple").averaged())
    return {
        "row": (ROW, 1),
        "rows": (Evaluations([ROW, ROW]), 2),
        "no rows": (Evaluations(), 0),
        "recommendation": (summary.recommendation, 2),
        "search": (search, 0),
        "races": (Races([race]), 1),
        "comparison": (
            Comparison((MethodComparison(summary.agreements[0], "averaging", "preview", 2.0, 0.001),), {}, 1.0),
            1,
        ),
        "mergeability": (Mergeability(pairs, ()), 1),
        "summary": (summary, len(summary.surface.rows)),
    }


@pytest.mark.parametrize(
    "name",
    ["row", "rows", "no rows", "recommendation", "search", "races", "comparison", "mergeability", "summary"],
)
def test_every_result_is_readable(make: Study, name: str) -> None:
    result, count = results(make)[name]
    assert len(repr(result).splitlines()) == 1
    assert result._repr_html_().startswith("<")
    json.dumps(result.to_dict(), allow_nan=False)
    table = result.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert len(table) == count


def test_a_row_has_a_column_for_each_weight_and_metric() -> None:
    table = Evaluations([ROW]).to_pandas()
    assert table.to_dict("records") == [row_columns(ROW)]
    assert row_columns(ROW) == {
        "fidelity": "joint",
        "method": "joint",
        "seed": 3,
        "weight.a": 0.5,
        "weight.b": 0.5,
        "a.loss": 0.2,
        "a.accuracy": 0.9,
        "b.loss": 0.2,
        "b.accuracy": 0.9,
        "cost": 2.5,
    }


def test_a_record_is_that_of_the_command() -> None:
    assert Evaluations([ROW]).to_dict() == [row_record(ROW)]
