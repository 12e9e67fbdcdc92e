"""Explanations are sentences with the numbers of the summary."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from foretaste.document.wording import number
from foretaste.report.sections.explanation import describe_front, explain
from foretaste.report.summary import Summary, summarise
from foretaste.surface.preference import Preference
from foretaste.surface.table import Headline, Surface

Study = Callable[..., Summary]
AB = ("a", "b")


def test_it_says_what_why_and_how_sure(make: Study) -> None:
    summary = make(AB, floors=["a>=0.6", "b>=80%"])
    found = summary.recommendation
    assert found is not None
    what, tasks, floors, basis, others, front, last = explain(summary)
    assert what.startswith("Recommended: a 50%, b 50%. Highest expected mean of the ")
    assert what.endswith("These are equal weights.")
    assert (
        f"a (weight 50%): expected accuracy {number(found.expected['a'])} (90 % interval {number(found.low['a'])} to"
        in tasks
    )
    assert "against its single-task model." in tasks
    assert floors == (
        "a>=0.6 holds with probability 100%. b>=80% of its single-task metric holds with probability 100%. "
        "All floors hold together with probability 100%."
    )
    assert basis.startswith(
        "The prediction rests on 3 joint runs, 2 single-task models and previews (diagonal, simple). Predicting each"
    )
    assert "probably worse" in others
    assert "on the expected Pareto front." in front
    assert last.startswith("Joint finetuning at these weights gives 0.803")
    assert "is unlikely to change the choice" in explain(make(AB))[-1]


def test_what_is_not_known_is_said(make: Study) -> None:
    what, _, basis, others, _, last = explain(make(AB, joint=()))
    assert "Recommended" in what
    assert "how far previews were off in other studies" in basis
    assert "Predicting each joint run" not in basis
    assert "too close to call" in others
    assert last.startswith("Not confirmed")
    assert last.endswith("`foretaste search RECIPE` makes the joint runs that tell most.")


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
    assert "single-task" not in explain(less)[1]
    alone = replace(summary, recommendation=replace(found, runners_up=()))
    assert "There are no runners-up." in explain(alone)


def test_too_little_to_go_by(make: Study) -> None:
    summary = make(AB, joint=())
    few = replace(summary, recommendation=None, outlook=None)
    assert explain(few) == [
        "Too few results to recommend weights. Run `foretaste preview RECIPE`, which covers the whole simplex."
    ]


def test_many_tasks_are_decided_by_floors(make: Study) -> None:
    summary = make(("a", "b", "c", "d", "e"), resolution=2, joint=())
    assert summary.outlook is not None
    assert describe_front(summary.outlook).endswith("set floors (--floor) or look at the worst task (--prefer worst).")


def test_a_front_is_never_empty_and_its_volume_is_left_out_where_it_says_nothing(make: Study) -> None:
    summary = make(AB)
    assert summary.outlook is not None
    rough = replace(summary.outlook, draws=np.random.default_rng(0).random(summary.outlook.draws.shape) * 9)
    said = describe_front(rough)
    assert not said.startswith("0 of")
    assert "dominates" not in said
    assert "The front dominates " in describe_front(summary.outlook)


def test_metrics_that_are_not_on_one_scale_are_minded(make: Study) -> None:
    heads = {"a": Headline("loss", higher_is_better=False), "b": Headline("accuracy")}
    mixed = Surface(heads, make(AB).surface.rows)
    found = summarise(
        mixed, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    )
    assert explain(found)[1].startswith("The tasks have different metrics (a loss, b accuracy)")
    assert "value (loss counts with a minus) " in explain(found)[0]
