"""Sentences about the recommendation."""

from collections.abc import Callable
from dataclasses import replace

from foretaste.report.sections.certainty import (
    describe_certainty,
    describe_confirmation,
    describe_next_run,
    describe_reason,
    describe_runner_up,
    describe_value,
    is_settled,
    nothing_yet,
)
from foretaste.report.summary import Summary
from foretaste.surface.table import Headline
from foretaste.weights import corners, uniform

Study = Callable[..., Summary]
AB = ("a", "b")


def test_the_reason_counts_weightings_and_names_the_goal(make: Study) -> None:
    assert describe_reason(make(AB)).startswith("Highest expected mean of 5 weightings: 0.80")
    assert describe_reason(make(AB)).endswith(". These are equal weights.")
    assert describe_reason(make(AB, preference="worst")).startswith(
        "Highest expected metric of the worst task of 5 weightings: "
    )
    assert describe_reason(make(AB, preference="a=1")).startswith(
        "Highest expected mean weighted a 100%, b 0% of 5 weightings: "
    )
    assert describe_reason(make(AB, preference="knee")).startswith(
        "Highest expected value for the knee of the front (tasks weighted "
    )


def test_the_reason_names_floors(make: Study) -> None:
    kept = describe_reason(make(AB, floors=["a>=0.6", "b>=80%"]))
    assert (
        " out of 5 weightings that are likely (at least 80%) to keep a>=0.6 and b>=80% of its single-task metric: 0.80"
        in kept
    )
    missed = describe_reason(make(AB, floors=["all>=0.99"]))
    assert missed.startswith(
        "None of 5 weightings is likely (at least 80%) to keep all>=0.99. These weights have the best chance, "
    )
    assert "Expected mean: " in missed


def test_a_value_is_compared_with_equal_weights(make: Study) -> None:
    best = make(AB).recommendation
    assert best is not None
    other = replace(best, weights=corners(AB)[0], gain=0.02)
    assert describe_value(replace(other, gain_low=0.01, gain_high=0.03)).endswith(
        "That is +0.020 against equal weights (90 % interval 0.010 to 0.030)."
    )
    assert "Equal weights may be as good: +0.020" in describe_value(replace(other, gain_low=-0.01, gain_high=0.05))
    assert describe_value(replace(other, gain=None)).endswith(").")


def test_certainty_is_honest(make: Study) -> None:
    assert "Too few results" in describe_certainty(make(AB, methods=(), joint=()))
    assert describe_certainty(make(AB, joint=())).startswith("Not confirmed")
    assert "how far previews were off in other studies" in describe_certainty(make(AB, joint=()))
    assert "gives 0.803 (+0.020 against the preview). None of the study's 5 joint runs is better" in describe_certainty(
        make(AB)
    )
    assert "rests on 3 joint runs, 2 single-task models and previews (diagonal, simple)" in describe_certainty(make(AB))
    assert "Another joint run is unlikely to change the choice (expected gain " in describe_next_run(make(AB))
    assert is_settled(make(AB))
    assert "Another joint run may change the choice" in describe_next_run(make(AB, joint=()))
    assert "Too close to call: " in describe_certainty(make(AB, joint=()))
    assert "Too close to call" not in describe_certainty(make(AB))


def test_confirmation_tells_of_floors_and_of_better_runs(make: Study) -> None:
    assert "which misses the floors" in describe_confirmation(make(AB, floors=["all>=0.95"]))
    summary = make(AB, preference="a=1", joint=[*corners(AB), uniform(AB)])
    assert summary.recommendation is not None
    other = replace(summary, recommendation=replace(summary.recommendation, weights=uniform(AB)))
    assert (
        "The joint run at a 100%, b 0% measured 0.920, but single runs vary: all results together predict 0.9"
        in describe_confirmation(other)
    )


def test_an_empty_study_says_what_to_run(make: Study) -> None:
    assert nothing_yet(make(AB)) == "study has no results yet; run `foretaste run RECIPE`"


def test_a_joint_run_does_not_confirm_the_preview_that_it_anchored(make: Study) -> None:
    summary = make(AB, methods=("simple", "anchored"))
    assert "gives 0.803 (the previews are anchored to this joint run). None" in describe_confirmation(summary)
    assert "0.803 (+0.020 against the preview)" in describe_confirmation(replace(summary, method="simple"))


def test_values_of_metrics_where_less_is_better_say_so(make: Study) -> None:
    summary = make(AB)
    less = replace(
        summary, surface=replace(summary.surface, headlines=dict.fromkeys(AB, Headline("loss", higher_is_better=False)))
    )
    assert "gives value (minus the mean loss) -0.500" in describe_confirmation(less)


def test_a_runner_up_says_what_changes(make: Study) -> None:
    best = make(AB, joint=()).recommendation
    assert best is not None
    assert "; better with probability " in describe_runner_up(best.runners_up[0])
