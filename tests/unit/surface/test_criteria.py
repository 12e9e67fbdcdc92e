from dataclasses import replace

import pytest

from foretaste.errors import WeightsError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.simplex import lattice
from foretaste.surface.criteria import add_criteria, criteria_in, is_higher_better, named_criteria
from foretaste.surface.outlook import outlook
from foretaste.surface.preference import Floor, Preference, caution
from foretaste.surface.recommend import recommend
from foretaste.surface.table import Headline, Surface

ROWS = tuple(
    Evaluation(w, {t: {"f1": w[t] ** 0.5, "slow": 2 - w[t]} for t in w}, Fidelity.JOINT, "joint")
    for w in lattice("ab", 8)
)
SURFACE = Surface({"a": Headline("f1"), "b": Headline("f1")}, ROWS)


def test_losses_and_errors_are_better_if_lower() -> None:
    lower = ("loss", "val_loss", "perplexity", "bpb", "wer", "error", "the_pile_loss", "nll")
    assert not any(map(is_higher_better, lower))
    assert all(map(is_higher_better, ("accuracy", "pass@1", "win rate", "f1", "gloss", "answer")))


def test_criteria_are_named_once_and_only_of_tasks() -> None:
    assert criteria_in(["a:slow=1,b=2", "a:slow>=1", "c:x>=1", "all>=9%"], "ab") == ["a:slow"]
    with pytest.raises(WeightsError, match=r"no result has the metric 'fast' of task 'a'; its metrics are f1, slow"):
        named_criteria(["a:fast>=1"], SURFACE)


def test_a_criterion_is_one_more_column_that_means_do_not_count() -> None:
    wider = add_criteria(SURFACE, ["a:slow"], {"a": {"slow": False}})
    assert wider.weight_names == ("a", "b")
    assert wider.values().shape == (9, 3)
    mean = Preference.parse("mean", "ab", ["a:slow"])
    assert mean.of(wider.oriented()).tolist() == Preference.parse("mean", "ab").of(SURFACE.oriented()).tolist()
    assert caution(mean, wider.headlines) == ""
    assert wider.singles()["a:slow"].weights.corner == "a"


def test_a_floor_on_another_metric_moves_the_recommendation() -> None:
    wider = add_criteria(SURFACE, ["a:slow"], {"a": {"slow": False}})
    mean = Preference.parse("mean", "ab", ["a:slow"])
    floor = Floor.parse("a:slow >= 1.3", ["a", "b", "a:slow"])
    free, held = (recommend(outlook(wider), mean, floors) for floors in ((), (floor,)))
    assert free.weights["a"] == 0.5
    assert held.weights["a"] > 0.6
    assert list(held.expected) == ["a", "b", "a:slow"]


def test_a_preference_may_name_another_metric() -> None:
    preference = Preference.parse("a:slow=3,b=1", "ab", ["a:slow"])
    assert preference.importance == {"a": 0.0, "b": 0.25, "a:slow": 0.75}
    assert str(preference) == "the mean weighted b 25%, a:slow 75%"


def test_a_row_may_lack_the_metric() -> None:
    bare = replace(ROWS[0], metrics={"a": {"f1": 0.5}, "b": {"f1": 0.5}})
    wider = add_criteria(replace(SURFACE, rows=(*ROWS, bare)), ["a:slow"], {})
    assert wider.rows[-1].metrics["a:slow"] == {}


def test_the_knee_is_that_of_the_tasks() -> None:
    wider = add_criteria(SURFACE, ["a:slow"], {"a": {"slow": False}})
    knee = Preference.parse("knee", "ab", ["a:slow"]).resolve_knee(wider)
    plain = Preference.parse("knee", "ab").resolve_knee(SURFACE)
    assert knee.importance == {**plain.importance, "a:slow": 0.0}
