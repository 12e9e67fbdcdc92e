"""Explanations are sentences with the numbers of the summary."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from foretaste.report.explain import explained, fronted
from foretaste.report.summary import Summary, summarise
from foretaste.report.wording import number
from foretaste.surface.preference import Preference
from foretaste.surface.table import Headline, Surface

Study = Callable[..., Summary]
AB = ("a", "b")


def test_it_says_what_why_and_how_sure(make: Study) -> None:
    summary = make(AB, floors=["a>=0.6", "b>=80%"])
    found = summary.recommendation
    assert found is not None
    what, tasks, floors, basis, others, front, last = explained(summary)
    assert what.startswith("Recommended: a 50%, b 50%. Best expected value of the mean over tasks among the ")
    assert what.endswith("as equal weights.")
    assert f"a (weight 50%): accuracy {number(found.expected['a'])} expected, in 9 of 10 cases {number(found.low['a'])} to" in tasks
    assert "against its single-task model." in tasks
    assert floors == (
        "a>=0.6 holds with probability 100%. b>=80% of its single-task metric holds with probability 100%. "
        "All of them hold together with probability 100%."
    )
    assert basis.startswith(
        "The prediction rests on 3 joint runs, 2 single-task models and previews (diagonal, simple). Joint runs predicted"
    )
    assert "is worse for all that is known" in others
    assert front.startswith("Expected of joint finetuning: on the front by their expected metrics are ")
    assert last.startswith("Joint finetuning at these weights gives 0.803")
    assert explained(make(AB))[-1].endswith("That is little: what there is to choose is known well enough.")


def test_what_is_not_known_is_said(make: Study) -> None:
    what, _, basis, others, _, last = explained(make(AB, joint=()))
    assert "Recommended" in what
    assert "rests on nothing but how far previews were off in other studies" in basis
    assert "predicted from all the others" not in basis
    assert "cannot be told apart from it yet" in others
    assert last.startswith("Not confirmed")
    assert last.endswith("`foretaste search RECIPE` makes it where it tells most.")


def test_without_single_task_models_or_others(make: Study) -> None:
    summary = make(AB, joint=())
    found = summary.recommendation
    assert found is not None
    inner = [row for row in summary.surface.rows if row.weights.corner is None]
    less = summarise(
        replace(summary.surface, rows=tuple(inner)),
        name="s",
        method="simple",
        preference=Preference("mean", {}),
        floors=(),
        provenance={},
        costs={},
    )
    assert "single-task" not in explained(less)[1]
    alone = replace(summary, recommendation=replace(found, runners_up=()))
    assert "There are no other weights to speak of." in explained(alone)


def test_too_little_to_go_by(make: Study) -> None:
    summary = make(AB, joint=())
    few = replace(summary, recommendation=None, outlook=None)
    assert explained(few) == ["There are too few rows to recommend from; run `foretaste preview`."]


def test_many_tasks_are_decided_by_floors(make: Study) -> None:
    summary = make(("a", "b", "c", "d", "e"), resolution=2, joint=())
    assert summary.outlook is not None
    assert fronted(summary.outlook).endswith("decide by requirements (--floor) or by the worst task (--prefer worst).")


def test_a_front_is_never_empty_and_its_volume_is_left_out_where_it_says_nothing(make: Study) -> None:
    summary = make(AB)
    assert summary.outlook is not None
    rough = replace(summary.outlook, draws=np.random.default_rng(0).random(summary.outlook.draws.shape) * 9)
    said = fronted(rough)
    assert "on the front by their expected metrics are 0 of" not in said
    assert "none is more likely than not; likeliest is a " in said
    assert "hypervolume" not in said
    assert "more likely than not are " in fronted(summary.outlook)
    assert "its hypervolume is " in fronted(summary.outlook)


def test_metrics_that_are_not_on_one_scale_are_minded(make: Study) -> None:
    heads = {"a": Headline("loss", higher_is_better=False), "b": Headline("accuracy")}
    mixed = Surface(heads, make(AB).surface.rows)
    found = summarise(mixed, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    assert explained(found)[1].startswith("The tasks have different metrics (a loss, b accuracy)")
    assert "value (loss counts with a minus) " in explained(found)[0]
