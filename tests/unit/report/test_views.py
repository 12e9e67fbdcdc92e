"""Every result has one line, HTML, the record of its command, and a table."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

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
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.workflow.outcome import read_outcome
from foretaste.workflow.outside import OutsideQuestion
from swarms import DOMAINS, made_up_runs, swarm

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


def test_a_recommendation_has_each_task_s_weight_and_none_for_a_criterion(tmp_path: Path) -> None:
    runs = [
        replace(run, weights=TaskWeights(("qa", "coding"), list(run.weights.values())))
        for run in made_up_runs(12, domains=("web", "code"))
    ]
    question = OutsideQuestion.of({"qa": "accuracy", "coding": ["pass@1", "pass@10"]})
    with swarm(tmp_path / "a.study", runs, question) as study:
        best = read_outcome(study, floors=["coding:pass@10>=0.3"]).summary().recommendation
    assert best is not None
    table = best.to_pandas()
    assert list(table.columns) == ["task", "weight", "expected", "low", "high"]
    assert table["weight"][:2].tolist() == list(best.weights.values())
    assert table["task"][2] == "coding:pass@10"
    assert pandas.isna(table["weight"][2])


def test_a_recommendation_has_the_weights_of_domains_in_their_own_columns(tmp_path: Path) -> None:
    with swarm(tmp_path / "a.study", made_up_runs(16)) as study:
        best = read_outcome(study).summary().recommendation
    assert best is not None
    table = best.to_pandas()
    columns = [f"weight.{domain}" for domain in DOMAINS]
    assert list(table.columns) == ["task", *columns, "expected", "low", "high"]
    assert table[columns].to_numpy().tolist() == [list(best.weights.values())] * 2


def test_a_record_is_that_of_the_command() -> None:
    assert Evaluations([ROW]).to_dict() == [row_record(ROW)]
