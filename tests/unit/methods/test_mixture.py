"""Mixtures of a task's runs."""

from dataclasses import replace

import torch

from foretaste.plan import Ensemble
from foretaste.weights import TaskWeights
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import prepare_merger, preview
from foretaste.workflow.session import Session

POINT = TaskWeights(["low", "mid", "high"], [0.2, 0.3, 0.5])


def test_a_mixture_of_one_run_is_diagonal(session: Session) -> None:
    alone = replace(session, recipe=session.recipe.model_copy(update={"ensemble": Ensemble(members=1)}))
    fit(alone)
    found, expected = (prepare_merger(alone, name)[1].merge(POINT).params for name in ("mixture", "diagonal"))
    torch.testing.assert_close(dict(found), dict(expected), atol=1e-6, rtol=1e-5)


def test_a_mixture_begins_at_its_control(pairs: Session) -> None:
    fit(pairs)
    found, control = (prepare_merger(pairs, name)[1] for name in ("mixture", "weighted"))
    begun, expected = found.merge(POINT).start, control.merge(POINT).params
    torch.testing.assert_close(dict(begun), dict(expected), atol=1e-6, rtol=1e-5)


def test_a_mixture_s_shape_is_part_of_its_previews_names(pairs: Session) -> None:
    fit(pairs)
    whole = preview(pairs, ["mixture"], [POINT])
    shaped = replace(pairs, recipe=pairs.recipe.model_copy(update={"ensemble": Ensemble(members=2, blocks="tensor")}))
    assert preview(shaped, ["mixture"], [POINT])[0].cost != whole[0].cost
    assert len(pairs.study.all_work("evaluation")) == 2


def test_a_mixture_of_different_runs_is_not_its_control(pairs: Session) -> None:
    found, control = (prepare_merger(pairs, name)[1].merge(POINT).params for name in ("mixture", "weighted"))
    assert any(not torch.equal(found[name], tensor) for name, tensor in control.items())
