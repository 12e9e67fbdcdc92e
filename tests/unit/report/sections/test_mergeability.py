import json
import math

import pytest

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.json import plain
from foretaste.report.records import mergeability_record
from foretaste.report.sections.mergeability import (
    advise,
    describe_corner,
    describe_pair,
    describe_pairs,
    mergeability_section,
)
from foretaste.simplex import lattice
from foretaste.surface.mergeability import Corner, Mergeability, Pair
from foretaste.surface.table import Headline, Surface
from summaries import shown

ACCURACY = Headline("accuracy")
SOUND = Pair(
    ("movies", "news"),
    (0.0, 0.5, 1.0),
    (0.5, 0.31, 0.6),
    {"movies": 0.9, "news": 0.8},
    {"movies": 0.91, "news": 0.8},
    0.3,
    dict.fromkeys(("movies", "news"), ACCURACY),
)
LOSES = Pair(
    ("movies", "[red]"),
    (0.0, 0.5, 1.0),
    (0.9, 0.5, 1.2),
    {"movies": 0.9, "[red]": 0.8},
    {"movies": 0.8, "[red]": 0.7},
    0.3,
    dict.fromkeys(("movies", "[red]"), ACCURACY),
)
FAILS = Pair(
    ("news", "[red]"),
    (0.0, 0.25, 0.5, 0.75, 1.0),
    (1.0, 1.2, 1.5, 1.9, 1.2),
    {"news": 0.9, "[red]": 8.0},
    {"news": 0.8, "[red]": 16.0},
    0.3,
    {"news": ACCURACY, "[red]": Headline("perplexity", False)},
)
CORNERS = (Corner("simple", {"movies": 0.0}, exact=True), Corner("mixture", {"movies": -0.02}, exact=False))


def test_a_line_for_each_pair() -> None:
    lines = shown([mergeability_section(Mergeability((SOUND, LOSES, FAILS), CORNERS))], 500).splitlines()
    assert (
        lines[1]
        == "movies, news: averaging works. Halfway, merging keeps 100% of their accuracy (movies 0.900 to 0.910, news"
        " 0.800 to 0.800); no loss barrier (loss 0.500, 0.310, 0.600)."
    )
    assert (
        lines[2]
        == "movies, [red]: averaging loses. Halfway, merging keeps 88.2% of their accuracy (movies 0.900 to 0.800,"
        " [red] 0.800 to 0.700); no loss barrier (loss 0.900, 0.500, 1.200)."
    )
    assert (
        lines[3] == "news, [red]: averaging fails. Halfway, merging keeps 69.4% of their accuracy and perplexity "
        "(news 0.900 to 0.800, [red] 8.000 to 16.000); loss barrier 0.750 at 75% [red] (loss 1.000, 1.500, 1.200)."
    )
    assert lines[4:6] == [
        "At the corners, previews by simple are the single-task models.",
        "At the corners, previews by mixture are not the first single-task models; they differ by movies -0.020.",
    ]
    assert lines[6].startswith("Where averaging works")
    assert lines[7].startswith("Where averaging loses")
    assert lines[8].startswith("Where averaging fails")
    assert lines[9].startswith("Rules of thumb")


@pytest.mark.parametrize(
    ("pair", "word"), [(SOUND, "add little"), (LOSES, "kronecker, or anchored"), (FAILS, "finetune.learning_rate")]
)
def test_advice_is_about_what_was_found(pair: Pair, word: str) -> None:
    (said,) = advise(Mergeability((pair, pair), ()))
    assert word in said


def test_a_metric_without_shares_is_told_as_it_is() -> None:
    none = Pair(
        ("a", "b"),
        (0.0, 0.5, 1.0),
        (0.5, 0.31, 0.6),
        {"a": 0.0, "b": -1.0},
        {"a": 0.1, "b": 0.0},
        0.3,
        {t: Headline("mcc") for t in "ab"},
    )
    assert "merging changes their mcc (a 0.000 to 0.100, b -1.000 to 0.000); no loss barrier" in describe_pair(none)


def test_json_has_the_same() -> None:
    odd = Pair(
        ("a", "b"),
        (0.0, 0.5, 1.0),
        (0.5, math.inf, 0.6),
        {"a": 0.9, "b": 0.8},
        {"a": 0.1, "b": 0.1},
        0.3,
        dict.fromkeys("ab", ACCURACY),
    )
    found = json.loads(json.dumps(plain(mergeability_record(Mergeability((LOSES, odd), CORNERS))), allow_nan=False))
    assert found["pairs"][0]["tasks"] == ["movies", "[red]"]
    assert found["pairs"][0]["kept"] == pytest.approx((8 / 9 + 7 / 8) / 2)
    assert [each["verdict"] for each in found["pairs"]] == ["loses", "fails"]
    assert (found["pairs"][1]["losses"], found["pairs"][1]["barrier"]) == ([0.5, None, 0.6], None)
    assert found["corners"][1] == {"method": "mixture", "off": {"movies": -0.02}, "exact": False}
    assert len(found["advice"]) == 2
    assert "Rules of thumb" in found["rule"]


def test_corners_in_one_line() -> None:
    assert describe_corner(CORNERS[1]).endswith("movies -0.020.")


class TestOverall:
    @staticmethod
    def surface(resolution: int) -> Surface:
        def accuracy(share: float, task: str) -> float:
            return 0.9 if task != "c" else 0.9 * share

        rows = [
            Evaluation(w, {t: {"loss": 1.0, "accuracy": accuracy(w[t], t)} for t in w}, Fidelity.PREVIEW, "simple")
            for w in lattice("abc", resolution)
        ]
        return Surface(dict.fromkeys("abc", ACCURACY), tuple(rows))

    def test_pairs_are_counted_and_the_worst_is_named(self) -> None:
        assert (
            describe_pairs(self.surface(4))
            == "Averaging works for 1 pair and averaging loses for 2 pairs of tasks. Worst pair: halfway between a and"
            " c, merging keeps 75% of their accuracy (a 0.900 to 0.900, c 0.900 to 0.450)."
        )

    def test_without_rows_between_nothing_is_said(self) -> None:
        assert describe_pairs(self.surface(3)) == ""
