"""A search's lines and its end."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from foretaste.evaluation import Fidelity
from foretaste.report.json import plain
from foretaste.report.records import search_record
from foretaste.report.sections.search import describe_step, search_section
from foretaste.report.summary import Summary
from foretaste.surface.hindsight import PastPrediction
from foretaste.surface.propose import Option, Proposal
from foretaste.surface.recommend import Recommendation
from foretaste.surface.searched import Budget, Progress, SearchResult
from foretaste.weights import uniform
from summaries import shown

AB = ("a", "b")
NEXT = tuple(Proposal(uniform(AB), Option(Fidelity.JOINT, "joint", 1.0), 0.01) for _ in range(3))


@pytest.fixture
def best(make: Callable[..., Summary]) -> Recommendation:
    found = make(AB).recommendation
    assert found is not None
    return found


def test_a_step_in_one_line(best: Recommendation) -> None:
    said = describe_step(Progress(best, Budget(1, 20, 0), NEXT), Budget(5, 100, 0))
    assert said.startswith("joint runs 1/5, previews 20/100 | best so far a 50%, b 50%: 0.80")
    assert said.endswith(" | next: joint at a 50%, b 50% and 2 more")
    assert describe_step(Progress(best, Budget(1, 20, 3), ()), Budget(5, 100, 4)).startswith(
        "joint runs 1/5, previews 20/100, sharpened 3/4 | best so far"
    )
    assert "next:" not in describe_step(Progress(best, Budget(1, 20, 3), ()), Budget(5, 100, 4))


def test_the_end(best: Recommendation) -> None:
    expected, low, high, real = (np.array(numbers) for numbers in ([0.5, 0.6], [0.4, 0.5], [0.6, 0.7], [0.55, 0.8]))
    foretold = (PastPrediction(uniform(AB), expected, low, high, real),)
    found = SearchResult(
        best, Budget(1, 20, 0), "the budget is spent", {"joint at a=1": "the loss became NaN"}, foretold
    )
    text = shown([search_section(found)])
    assert text.splitlines()[4].split() == [
        "50%",
        "50%",
        "0.500",
        "(0.400",
        "to",
        "0.600)",
        "0.550",
        "0.600",
        "(0.500",
        "to",
        "0.700)",
        "0.800",
    ]
    assert "50% of the metrics lie in their 90 % interval; the predictions are off by 0.125 on average." in text
    assert "Failed: joint at a=1: the loss became NaN" in text
    assert text.rstrip().endswith("The search ended: the budget is spent.")
    document = json.loads(json.dumps(plain(search_record(found)), allow_nan=False))
    assert document["foretold"] == [
        {
            "weights": {"a": 0.5, "b": 0.5},
            "expected": [0.5, 0.6],
            "low": [0.4, 0.5],
            "high": [0.6, 0.7],
            "real": [0.55, 0.8],
        }
    ]
    assert (document["coverage"], document["mean_error"]) == (0.5, pytest.approx(0.125))
    assert document["failed"] == {"joint at a=1": "the loss became NaN"}


def test_without_joint_runs(best: Recommendation) -> None:
    found = SearchResult(best, Budget(0, 20, 0), "the budget is spent", {}, ())
    assert shown([search_section(found)]) == "The search ended: the budget is spent.\n"
    assert search_record(found)["coverage"] is None


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_number_is_cut(make: Callable[..., Summary], width: int, count: int) -> None:
    names = ("movies", "news", "questions", "toxicity", "a-task-with-a-very-long-name")[:count]
    best = make(names, resolution=2).recommendation
    assert best is not None
    expected, low, high, real = (np.full(count, number) for number in (0.511, 0.412, 0.613, 0.554))
    found = SearchResult(
        best, Budget(1, 20, 0), "done", {}, (PastPrediction(uniform(names), expected, low, high, real),)
    )
    text = shown([search_section(found)], width)
    assert max(map(len, text.splitlines())) <= width
    assert all(text.count(number) == count for number in ("0.511", "0.412 to 0.613", "0.554"))
