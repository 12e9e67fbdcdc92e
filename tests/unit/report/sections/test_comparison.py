import json
import math

import pytest

from foretaste.report.json import plain
from foretaste.report.records import comparison_record
from foretaste.report.sections.comparison import comparison_section
from foretaste.surface.agreement import Agreement
from foretaste.surface.comparison import Comparison, Kind, MethodComparison, Regret
from summaries import shown


def compared(method: str, kind: Kind, error: float, rank: float | None, once: float, each: float) -> MethodComparison:
    even = {"movies": error, "news": error}
    found = Agreement(method, 7, even, even, {"movies": rank, "news": rank}, rank, rank, None, 0.0041, 0.03, 0.125)
    return MethodComparison(found, f"what {method} is", kind, once, each)


FOUND = Comparison(
    (
        compared("diagonal", "preview", 0.02, 0.875, 2.04, 0.0003),
        compared("diagonal+20", "sharpened", 0.01, 0.9, 2.04, 0.0512),
        compared("average", "control", 0.03, None, 12.3, 0.0),
    ),
    {"uniform": Regret(0.05, 0.06), "proportional": Regret(-0.01, 0.07)},
    75.0,
)


def printed(width: int = 120) -> str:
    return shown([comparison_section(FOUND)], width)


def test_every_method_is_a_row_with_its_numbers() -> None:
    lines = {line.split()[0]: line.split()[1:] for line in printed().splitlines() if line.strip()}
    assert lines["diagonal"] == ["0.020", "0.88", "0.88", "—", "0.004", "0.030", "2", "0.0003"]
    assert lines["diagonal+20"] == ["0.010", "0.90", "0.90", "—", "0.004", "0.030", "2", "0.051"]
    assert lines["average"] == ["0.030", "—", "—", "—", "0.004", "0.030", "12", "0"]


def test_rivals_have_regret_and_cost_nothing() -> None:
    lines = printed().splitlines()
    even, data = (next(line for line in lines if name in line) for name in ("uniform weights", "weights by data"))
    assert even.split()[2:] == ["—", "—", "—", "—", "0.050", "0.060", "0", "0"]
    assert data.split()[3:] == ["—", "—", "—", "—", "-0.010", "0.070", "0", "0"]


def test_it_says_what_is_compared() -> None:
    words = " ".join(printed().split())
    assert "Methods at 7 weightings, where the mean over the joint runs varies by 0.125" in words
    assert "One joint run takes 1 min 15 s" in words
    assert "average: what average is (control)" in words
    assert "diagonal: what diagonal is" in words


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_the_terminal(width: int) -> None:
    text = printed(width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert all(number in text for number in ("0.020", "0.88", "0.051", "diagonal+20"))
    assert "…" not in text


def test_json_has_everything() -> None:
    found = json.loads(json.dumps(plain(comparison_record(FOUND)), allow_nan=False))
    assert found["best"] == "diagonal"
    assert found["joint_seconds"] == 75.0
    assert found["rivals"]["proportional"] == {"mean": -0.01, "worst": 0.07}
    first = found["methods"][0]
    assert (first["method"], first["kind"], first["title"]) == ("diagonal", "preview", "what diagonal is")
    assert (first["mean_error"], first["rank_mean"], first["rank_top"]) == (0.02, 0.875, None)
    assert (first["cost_once"], first["cost_each"], first["points"]) == (2.04, 0.0003, 7)


def test_numbers_that_json_lacks_are_null() -> None:
    bad = Comparison(
        (compared("simple", "preview", math.nan, None, 1.0, 1.0),), {"uniform": Regret(math.inf, 0.0)}, 1.0
    )
    found = json.loads(json.dumps(plain(comparison_record(bad)), allow_nan=False))
    assert found["methods"][0]["mean_error"] is None
    assert found["rivals"]["uniform"]["mean"] is None


def test_a_method_that_has_nothing_but_its_anchor_is_never_the_best() -> None:
    nothing = {"movies": math.nan}
    unknown = Agreement(
        "anchored", 0, nothing, nothing, {"movies": None}, None, None, None, math.nan, math.nan, math.nan, 1
    )
    found = Comparison((MethodComparison(unknown, "anchored", "preview", 3.0, 0.1), *FOUND.methods), FOUND.rivals, 75.0)
    assert found.best == "diagonal"
    words = " ".join(shown([comparison_section(found)], 80).split())
    assert "Methods at 7 weightings" in words
    assert "Judged without its anchor: anchored." in words
    assert "(top) of the mean among the quarter of the weightings" in words
