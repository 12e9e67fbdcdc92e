from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from foretaste.errors import TaskError
from foretaste.evaluate import evaluate
from foretaste.metric_kinds import TextMetric
from foretaste.params import average, parameters_of
from foretaste.plan import Preview
from foretaste.recipe import parse
from foretaste.simplex import lattice
from foretaste.sources.problem import Problem
from foretaste.task import Batch
from foretaste.workflow.fit import fit
from foretaste.workflow.mergeability import mergeability, methods_to_check
from foretaste.workflow.preview import preview
from foretaste.workflow.session import Session
from foretaste.workflow.start import start
from problems import blobs


def losses_between(session: Session, one: str, other: str) -> list[float]:
    """Mean loss of both tasks along the line, from the runs' own params."""
    fitted = fit(session)
    ends = [session.study.tensors(fitted[task].run.artefact) for task in (one, other)]
    tasks = [task for task in session.problem.tasks if task.name in (one, other)]
    found = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        params = {}
        for name in {**ends[0], **ends[1]}:
            both = [(weight, end[name]) for weight, end in zip((1 - share, share), ends, strict=True) if name in end]
            params[name] = both[0][1] if len(both) == 1 else average(both)
        results = evaluate(session.problem.model, params, tasks)
        found.append(sum(results[task.name].metrics["loss"] for task in tasks) / 2)
    return found


def test_the_line_is_the_plain_average_of_two_runs(session: Session) -> None:
    found = mergeability(session)
    assert [pair.tasks for pair in found.pairs] == [("low", "mid"), ("low", "high"), ("mid", "high")]
    for pair in found.pairs:
        assert pair.losses == pytest.approx(losses_between(session, *pair.tasks), rel=1e-5)
        assert pair.own_loss <= min(pair.losses[0], pair.losses[-1])
    assert [(corner.method, corner.exact, set(corner.off.values())) for corner in found.corners] == [
        ("simple", True, {0.0})
    ]


def test_rows_are_ordinary_previews(session: Session) -> None:
    mergeability(session)
    before = session.study.all_work("evaluation")
    assert len(before) == 3 + 3 * 3
    preview(session, ["simple"], lattice(session.problem.names, 4))
    assert len(session.study.all_work("evaluation")) == 15  # three of the lattice are inside
    found, work = mergeability(session), session.study.all_work()
    assert mergeability(session) == found
    assert session.study.all_work() == work


@pytest.mark.parametrize(
    ("method", "exact"), [("diagonal", True), ("kronecker", True), ("predictive", True), ("mixture", False)]
)
def test_corners_of_the_methods_that_are_asked_for(pairs: Session, method: str, exact: bool) -> None:
    found = mergeability(pairs, [method])
    assert [corner.method for corner in found.corners] == ["simple", method]
    assert found.corners[1].exact == exact
    assert set(found.corners[1].off) == set(pairs.problem.names)


def test_methods_of_the_recipe_are_checked_where_they_train_nothing_more(session: Session) -> None:
    other = replace(
        session,
        recipe=session.recipe.model_copy(
            update={"preview": Preview(methods=["anchored", "diagonal"], prior_precision=0.003)}
        ),
    )
    assert [corner.method for corner in mergeability(other).corners] == ["simple", "diagonal"]
    assert not session.study.all_work("joint")
    assert methods_to_check(["simple", "anchored"], named=True) == ["simple", "anchored"]


def test_a_method_that_cannot_preview_the_tasks_is_refused_before_any_work(session: Session) -> None:
    low, *others = session.problem.tasks
    texts = replace(
        low,
        metrics=[TextMetric("bleu", lambda said, wanted: 0.0)],
        write=lambda model, examples: [("", "") for _ in examples],
    )
    other, before = replace(session, problem=replace(session.problem, tasks=(texts, *others))), session.study.all_work()
    with pytest.raises(TaskError, match="mixed predictions come from no model"):
        mergeability(other, ["predictive"])
    assert session.study.all_work() == before


class Headed(nn.Module):
    """A trunk, and one head for each of two tasks."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            self.trunk, self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(8, 3)


def through(head: str) -> Callable[[nn.Module, Batch], Tensor]:
    def predict(model: nn.Module, batch: Batch) -> Tensor:
        found = model.get_submodule(head)(model.get_submodule("trunk")(batch["inputs"]).tanh())
        assert isinstance(found, Tensor)
        return found

    return predict


def test_a_head_of_its_own_stays_with_its_task(tmp_path: Path) -> None:
    model = Headed()
    own = {
        head: frozenset(name for name in parameters_of(model) if name.startswith(("trunk", f"{head}.")))
        for head in "ab"
    }
    tasks = tuple(replace(blobs(head, seed), predict=through(head), names=own[head]) for seed, head in enumerate("ab"))
    text = (
        "{name: a, model: {source: digits}, finetune: {steps: 20, learning_rate: 0.01}, curvature: {max_examples: 4}}"
    )
    session = start(parse(text), text, Problem(model, tasks), tmp_path / "study")
    with session.study:
        found = mergeability(session)
        (pair,) = found.pairs
        assert pair.losses == pytest.approx(losses_between(session, "a", "b"), rel=1e-5)
        assert [corner.exact for corner in found.corners] == [True]
