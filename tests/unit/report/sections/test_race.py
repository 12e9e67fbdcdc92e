"""A race as text and as JSON."""

import json

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.json import plain
from foretaste.report.records import race_records
from foretaste.report.sections.race import race_sections
from foretaste.simplex import lattice
from foretaste.surface.race_result import DroppedCandidate, Gap, RaceResult
from foretaste.weights import TaskWeights
from summaries import shown

POINTS = lattice("ab", 20)
ROWS = tuple(
    Evaluation(weights, {task: {"accuracy": 0.9} for task in "ab"}, Fidelity.PREVIEW, "simple")
    for weights in POINTS[:3]
)
APART = {POINTS[0]: Gap(0.0, 0.0, 0.0), POINTS[1]: Gap(0.01, -0.02, 0.04), POINTS[2]: Gap(0.1, 0.05, 0.15)}


def dropped(weights: TaskWeights, missing: bool = False) -> DroppedCandidate:
    return DroppedCandidate(weights, 96, 0.5, Gap(0.4, 0.3, 0.5), missing)


def test_rows_those_that_stopped_and_what_was_saved() -> None:
    said = shown(
        race_sections(
            [RaceResult("simple", ROWS, (dropped(POINTS[3]), dropped(POINTS[4], True)), POINTS[0], APART, 300, 1200)]
        ),
        140,
    )
    assert "Best by simple: a 100%, b 0%. 1 other is too close to call on these examples: a 95%, b 5%." in said
    assert "The probability that the best weighting on all examples was stopped is at most 5%." in said
    assert "85% 15%" in said
    assert "0.400 (0.300 to 0.500)" in said
    assert "misses the floors" in said
    assert "300 of 1,200 evaluations of single examples were needed: 75% were saved." in said


def test_long_lists_are_cut() -> None:
    apart = {POINTS[0]: APART[POINTS[0]]} | {weights: Gap(0.0, -0.1, 0.1) for weights in POINTS[1:6]}
    said = shown(
        race_sections(
            [RaceResult("simple", ROWS, tuple(dropped(weights) for weights in POINTS[6:]), POINTS[0], apart, 300, 1200)]
        ),
        140,
    )
    assert "… and 3 more; --json has all" in said
    assert "5 others are too close to call on these examples" in said
    assert "and 2 more." in said


def test_why_nothing_was_raced() -> None:
    said = shown(race_sections([RaceResult("simple", ROWS, (), POINTS[0], {}, 1200, 1200, "f1 is no mean")]), 140)
    assert "Every weighting was evaluated in full, because racing is not possible here: f1 is no mean." in said
    assert "saved" not in said
    assert "Stopped" not in said


def test_json_has_all_of_it() -> None:
    found = RaceResult("simple", ROWS, tuple(dropped(weights) for weights in POINTS[3:]), POINTS[0], APART, 300, 1200)
    (data,) = json.loads(json.dumps(plain(race_records([found]))))
    assert [row["behind"] for row in data["rows"]] == [0.0, 0.01, 0.1]
    assert data["rows"][0]["metrics"]["a"] == {"accuracy": 0.9}
    assert len(data["dropped"]) == 18
    assert data["dropped"][0] == {
        "weights": dict(POINTS[3]),
        "examples": 96,
        "value": 0.5,
        "missing": False,
        "behind": 0.4,
        "low": 0.3,
        "high": 0.5,
    }
    assert data["undecided"] == [dict(POINTS[1])]
    assert (data["evaluated"], data["whole"], data["error"], data["reason"]) == (300, 1200, 0.05, "")
