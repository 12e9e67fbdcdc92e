from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from finished import jointly
from foretaste.merge import Preview
from foretaste.methods.method import prior_of
from foretaste.methods.site_set import AnchorRun, SiteSet
from foretaste.methods.tune import PriorPrecision
from foretaste.params import parameters_of
from foretaste.plan import Preview as PreviewPlan
from foretaste.recipe import parse
from foretaste.sources.problem import Problem
from foretaste.store.study import Done
from foretaste.task import Batch
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.work.context import Context
from foretaste.work.judge import objective
from foretaste.workflow.fit import FittedTask, fit
from foretaste.workflow.preview import prepare, prepare_merger, preview
from foretaste.workflow.session import Session
from foretaste.workflow.start import start
from problems import blobs


class Headed(nn.Module):
    """A trunk, and one head for each of two tasks."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            self.trunk = nn.Linear(4, 8)
            self.heads = nn.ModuleDict({"a": nn.Linear(8, 3), "b": nn.Linear(8, 3)})


def through(head: str) -> Callable[[nn.Module, Batch], Tensor]:
    def predict(model: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(model, Headed)
        found = model.heads[head](model.trunk(batch["inputs"]).tanh())
        assert isinstance(found, Tensor)
        return found

    return predict


def headed_problem() -> Problem:
    model = Headed()
    own = {
        head: frozenset(name for name in parameters_of(model) if name.startswith(("trunk", f"heads.{head}")))
        for head in "ab"
    }
    return Problem(
        model,
        tuple(replace(blobs(head, seed), predict=through(head), names=own[head]) for seed, head in enumerate("ab")),
    )


@pytest.fixture
def headed(tmp_path: Path) -> Iterator[Session]:
    """A session of two tasks with heads of their own."""
    text = (
        "{name: a, model: {source: digits}, finetune: {steps: 10, learning_rate: 0.01, prior_precision: 0.01},"
        " curvature: {labels: exact}, preview: {prior_precision: 0.01}}"
    )
    found = start(parse(text), text, headed_problem(), tmp_path / "study")
    with found.study:
        yield found


def trust_of(found: SiteSet) -> Done:
    """The choice that the sites rest on."""
    (choice,) = {
        done.key: done
        for works in found.works.values()
        for done in works
        if done.inputs.get("what") == "trust in the joint run"
    }.values()
    return choice


def trusting(session: Session, trust: float, precision: float = 0.003) -> Callable[[TaskWeights], Preview]:
    """Kronecker previews corrected as far as is said, whatever would be chosen."""
    weights = uniform(session.problem.names)
    joint = session.study.tensors(jointly(session, weights).artefact)
    return (
        prepare(session, "kronecker")
        .anchor_at(AnchorRun(weights, joint, trust))
        .under(prior_of(session, precision))
        .merge
    )


def assert_is_joint(session: Session, found: Mapping[str, Tensor]) -> None:
    joint = session.study.tensors(jointly(session, uniform(session.problem.names)).artefact)
    assert all(torch.allclose(found[name], joint[name], atol=1e-6) for name in found)


def own_params(session: Session, fitted: Mapping[str, FittedTask], task: str) -> Mapping[str, Tensor]:
    return session.study.tensors(fitted[task].run.artefact)


@pytest.mark.parametrize("trust", [0.25, 1.0])
def test_at_the_joint_run_s_weights_the_preview_is_the_joint_run(session: Session, trust: float) -> None:
    assert_is_joint(session, trusting(session, trust)(uniform(session.problem.names)).params)


def test_the_method_is_the_joint_run_there_where_it_trusts_it(session: Session) -> None:
    sites, merged = prepare_merger(session, "anchored")
    assert sites.options["trust"] == trust_of(sites).result["value"]
    found, plain = (each(uniform(session.problem.names)).params for each in (merged.merge, trusting(session, 0.0)))
    if sites.options["trust"]:
        assert_is_joint(session, found)
    else:
        assert all(torch.equal(found[name], plain[name]) for name in plain)


def test_at_a_corner_it_is_the_task_s_own_params(session: Session) -> None:
    fitted = fit(session)
    merged = prepare_merger(session, "anchored")[1]
    for corner in corners(session.problem.names):
        for merge in (merged.merge, trusting(session, 1.0)):
            found = merge(corner).params
            assert all(
                torch.equal(found[name], tensor)
                for name, tensor in own_params(session, fitted, str(corner.corner)).items()
            )


def test_no_trust_is_among_the_choices_and_the_best_is_taken(session: Session) -> None:
    sites, merged = prepare_merger(session, "anchored")
    choice = trust_of(sites).result
    curve = dict(choice["curve"])
    assert {0.0, 0.5, 1.0} <= curve.keys()
    assert all(0 <= trust <= 1 for trust in curve)
    assert choice["loss"] == min(curve.values()) == curve[choice["value"]]
    plain = objective(session, lambda weights: trusting(session, 0.0)(weights).params)
    assert curve[0.0] == pytest.approx(plain, rel=1e-6)
    assert objective(session, lambda weights: merged.merge(weights).params) <= plain * (1 + 1e-6)


def test_work_is_found_not_done_again(session: Session) -> None:
    weights = TaskWeights(session.problem.names, [0.2, 0.3, 0.5])
    first = preview(session, ["anchored"], [weights])
    before = session.study.all_work()
    assert preview(session, ["anchored"], [weights]) == first
    assert session.study.all_work() == before
    assert [done.kind for done in before].count("joint") == 1


def test_its_cost_holds_the_joint_run_and_the_choice(session: Session) -> None:
    fitted = fit(session)
    plain, found = (prepare_merger(session, method)[0] for method in ("kronecker", "anchored"))
    run, choice = jointly(session, uniform(session.problem.names)), trust_of(found)
    looked_at = sum(
        each.site_record.seconds for each in fitted.values() if each.site_record
    )  # the diagonals, to choose between
    assert found.seconds == pytest.approx(plain.seconds + looked_at + run.seconds + choice.seconds)


def test_it_starts_from_the_curvature_whose_previews_are_better(session: Session) -> None:
    tuning = replace(session, recipe=session.recipe.model_copy(update={"preview": PreviewPlan(prior_precision="auto")}))
    sites, merged = prepare_merger(tuning, "anchored")
    tuned = {
        done.inputs["method"]: done.result
        for done in tuning.study.all_work("choice")
        if done.inputs["what"] == "prior precision"
    }
    best = min(tuned, key=lambda method: tuned[method]["loss"])
    assert set(tuned) == {"kronecker", "diagonal"}
    assert sites.options["curvature"] == best
    assert merged.prior.precision.to_tensors()["scale"].item() == pytest.approx(10 ** tuned[best]["value"])


@pytest.mark.parametrize("best", ["kronecker", "diagonal"])
def test_either_curvature_can_be_the_better_one(session: Session, best: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def loss_of(work: PriorPrecision, context: Context) -> Callable[[float], float]:
        return lambda decades: abs(decades + 2.5) + (work.method != best)

    monkeypatch.setattr(PriorPrecision, "first", lambda work, context: (-2.5, -3.0, -2.0))
    monkeypatch.setattr(PriorPrecision, "loss_of", loss_of)
    session = replace(
        session, recipe=session.recipe.model_copy(update={"preview": PreviewPlan(prior_precision="auto")})
    )
    plain = prepare(session, best)
    sites, merged = prepare_merger(session, "anchored")
    weights = TaskWeights(session.problem.names, [0.2, 0.8, 0.0])  # no correction where a task has no weight
    expected = plain.under(prior_of(session, 10**-2.5)).merge(weights).params
    assert all(torch.equal(tensor, expected[name]) for name, tensor in merged.merge(weights).params.items())
    assert sites.options["curvature"] == best
    assert sites.precision == pytest.approx(10**-2.5)
    searches = {done.inputs.get("method") for works in sites.works.values() for done in works if done.kind == "choice"}
    assert searches >= {"kronecker", "diagonal"}  # both were paid for


def test_under_a_fixed_prior_it_starts_from_kronecker(session: Session) -> None:
    assert prepare_merger(session, "anchored")[0].options["curvature"] == "kronecker"


class TestHeadsOfTheirOwn:
    def test_at_uniform_weights_trunk_and_heads_are_the_joint_run_s(self, headed: Session) -> None:
        assert_is_joint(headed, trusting(headed, 0.5, 0.01)(uniform("ab")).params)

    def test_at_a_corner_the_other_head_is_its_task_s(self, headed: Session) -> None:
        fitted = fit(headed)
        found = prepare_merger(headed, "anchored")[1].merge(TaskWeights("ab", [1.0, 0.0])).params
        whole = {**own_params(headed, fitted, "b"), **own_params(headed, fitted, "a")}
        assert found.keys() == whole.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in whole.items())

    def test_the_choice_is_never_worse_than_no_trust(self, headed: Session) -> None:
        choice = trust_of(prepare_merger(headed, "anchored")[0]).result
        assert choice["loss"] <= dict(choice["curve"])[0.0]
