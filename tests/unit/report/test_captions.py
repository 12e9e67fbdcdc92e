"""Sentences under figures and under the recommendation."""

from collections.abc import Callable
from dataclasses import replace

from foretaste.report.captions import agreed, certainty, compared, confirmed, mapped, nothing, spanned, traded, valued
from foretaste.report.summary import Summary
from foretaste.surface.table import Headline
from foretaste.weights import corners, uniform

Study = Callable[..., Summary]
AB = ("a", "b")


def test_a_map_names_ranges_and_the_recommended_value(make: Study) -> None:
    text = mapped(make(AB), "a")
    assert "5 previews: accuracy 0.500 to 0.900, highest at a 100%, b 0%." in text
    assert "5 joint runs: 0.520 to 0.920." in text
    assert text.endswith("The recommended weights give 0.805.")
    assert valued(make(AB)).startswith("5 previews: value 0.700 to 0.783, highest at a 50%, b 50%.")
    assert spanned(make(AB)) == "Previewed metrics: a 0.500 to 0.900, b 0.500 to 0.900."


def test_the_trade_off_counts_the_front(make: Study) -> None:
    assert "5 of 5 previews. Best of each task: a 0.900, b 0.900." in traded(make(AB))
    assert traded(make(AB, methods=())) == "No previews yet."


def test_methods_are_compared_with_numbers(make: Study) -> None:
    found = make(AB)
    assert "a 0.020, b 0.020" in compared(found.agreements[0])
    assert "simple: error 0.020, rank correlation 1.00, regret 0.000." in agreed(found)
    assert "rank correlation undefined" in agreed(make(AB, joint=[uniform(AB)]))


def test_certainty_is_honest(make: Study) -> None:
    assert "Too little to recommend from" in certainty(make(AB, methods=(), joint=()))
    assert certainty(make(AB, joint=())).startswith("Not confirmed")
    assert "rests on nothing but how far previews were off in other studies" in certainty(make(AB, joint=()))
    assert "gives 0.803 (+0.020 against the preview); 5 joint runs in the study, none better" in certainty(make(AB))
    assert "rests on 3 joint runs, 2 single-task models and previews (diagonal, simple)" in certainty(make(AB))
    assert "One more joint run is expected to add" in certainty(make(AB))
    assert "Not to be told apart from it yet: " in certainty(make(AB, joint=()))
    assert "Not to be told apart" not in certainty(make(AB))


def test_confirmation_tells_of_floors_and_of_better_runs(make: Study) -> None:
    assert "does not keep the floors" in confirmed(make(AB, floors=["all>=0.95"]))
    found = make(AB, preference="a=1", joint=[*corners(AB), uniform(AB)])
    assert found.recommendation is not None
    other = replace(found, recommendation=replace(found.recommendation, weights=uniform(AB)))
    assert "The joint run at a 100%, b 0% measured 0.920, where by all that is known 0.9" in confirmed(other)


def test_an_empty_study_says_what_to_run(make: Study) -> None:
    assert nothing(make(AB)) == "study: nothing evaluated yet; run `foretaste run RECIPE`"


def test_a_joint_run_does_not_confirm_the_preview_that_it_anchored(make: Study) -> None:
    found = make(AB, methods=("simple", "anchored"))
    assert "gives 0.803 (this joint run anchored the preview); 5 joint runs" in confirmed(found)
    assert compared(found.agreements[1]).startswith("4 weightings with both beside the one that anchored the previews; ")
    assert "0.803 (+0.020 against the preview)" in confirmed(replace(found, method="simple"))


def test_values_of_metrics_where_less_is_better_say_so(make: Study) -> None:
    made = make(AB)
    found = replace(made, surface=replace(made.surface, headlines=dict.fromkeys(AB, Headline("loss", higher_is_better=False))))
    assert "5 previews: value (minus the mean loss) -0.500 to -0.500" in valued(found)
    assert "gives value (minus the mean loss) -0.500" in confirmed(found)
