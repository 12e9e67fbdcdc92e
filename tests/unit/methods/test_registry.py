from dataclasses import replace

import pytest
import torch

from finished import finetuned
from foretaste.errors import RecipeError
from foretaste.merge import merge
from foretaste.method_table import METHOD_TABLE, MethodRow, with_controls
from foretaste.methods.method import prior_of
from foretaste.methods.registry import method_named
from foretaste.plan import Ensemble
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import prepare, prepare_merger, preview
from foretaste.workflow.session import Session

POINT = TaskWeights(["low", "mid", "high"], [0.2, 0.3, 0.5])
ONE_RUN = ["simple", "diagonal", "kronecker", "lowrank"]
MANY_RUNS = ["mixture", "average", "weighted"]


def runs_of(session: Session, task: str) -> list[str]:
    """Hashes of the params of a task's runs, two of them."""
    found = next(each for each in session.problem.tasks if each.name == task)
    return [str(finetuned(session, found, member).artefact) for member in range(2)]


@pytest.mark.parametrize("name", METHOD_TABLE)
def test_every_row_of_the_table_has_its_method(name: str) -> None:
    assert method_named(name).name == name


def test_a_row_without_a_method_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHOD_TABLE, "strange", MethodRow("strange", "no method at all", "pathlib:Path"))
    with pytest.raises(RecipeError, match=r"pathlib:Path is no foretaste\.methods\.method\.Method"):
        method_named("strange")


@pytest.mark.parametrize("method", ONE_RUN)
def test_at_a_corner_the_preview_is_the_task_s_own_params(pairs: Session, method: str) -> None:
    fitted = fit(pairs)
    merged = prepare_merger(pairs, method)[1]
    for corner in corners(pairs.problem.names):
        own = pairs.study.tensors(fitted[str(corner.corner)].run.artefact)
        assert all(torch.equal(merged.merge(corner).params[name], tensor) for name, tensor in own.items())


@pytest.mark.parametrize("method", ONE_RUN)
def test_inside_it_is_another_one_by_each_method(pairs: Session, method: str) -> None:
    fit(pairs)
    found = prepare_merger(pairs, method)[1].merge(POINT)
    assert found.converged
    for other in ONE_RUN:
        params = prepare_merger(pairs, other)[1].merge(POINT).params
        same = all(torch.equal(params[name], tensor) for name, tensor in found.params.items())
        assert same == (other == method)


@pytest.mark.parametrize("method", [*ONE_RUN, *MANY_RUNS])
def test_work_is_found_not_done_again(pairs: Session, method: str) -> None:
    first = preview(pairs, [method], [POINT])
    before = pairs.study.all_work()
    assert preview(pairs, [method], [POINT]) == first
    assert pairs.study.all_work() == before


@pytest.mark.parametrize("method", ["mixture", "weighted"])
def test_a_mixture_of_one_run_is_diagonal(session: Session, method: str) -> None:
    alone = replace(session, recipe=session.recipe.model_copy(update={"ensemble": Ensemble(members=1)}))
    fit(alone)
    found, expected = (prepare_merger(alone, name)[1].merge(POINT).params for name in (method, "diagonal"))
    torch.testing.assert_close(dict(found), dict(expected), atol=1e-6, rtol=1e-5)


def test_an_average_of_one_run_is_simple(session: Session) -> None:
    alone = replace(session, recipe=session.recipe.model_copy(update={"ensemble": Ensemble(members=1)}))
    fit(alone)
    found, expected = (prepare_merger(alone, name)[1].merge(POINT).params for name in ("average", "simple"))
    torch.testing.assert_close(dict(found), dict(expected), atol=1e-6, rtol=1e-5)


def test_average_is_the_mean_of_all_runs_under_alpha(pairs: Session) -> None:
    found = prepare_merger(pairs, "average")[1].merge(POINT).params
    runs = {task: [pairs.study.tensors(artefact) for artefact in runs_of(pairs, task)] for task in POINT}
    for name, tensor in found.items():
        expected = sum(POINT[task] / 2 * run[name].double() for task, each in runs.items() for run in each)
        torch.testing.assert_close(tensor.double(), expected, atol=1e-6, rtol=1e-5)


def test_a_mixture_begins_at_its_control(pairs: Session) -> None:
    fit(pairs)
    found, control = (prepare_merger(pairs, name)[1] for name in ("mixture", "weighted"))
    begun, expected = found.merge(POINT).start, control.merge(POINT).params
    torch.testing.assert_close(dict(begun), dict(expected), atol=1e-6, rtol=1e-5)


def test_controls_rest_on_the_same_runs_as_the_mixture(pairs: Session) -> None:
    found = {method: prepare(pairs, method) for method in MANY_RUNS}
    for task in pairs.problem.names:
        runs = {method: [done.key for done in each.works[task] if done.kind == "finetune"] for method, each in found.items()}
        assert len(runs["mixture"]) == 2
        assert runs["mixture"] == runs["average"] == runs["weighted"]
        assert found["average"].artefacts[task] == runs_of(pairs, task)
    assert found["mixture"].artefacts == found["weighted"].artefacts
    assert [done.kind for done in pairs.study.all_work()].count("finetune") == 6


def test_costs_hold_every_run_and_estimate_once(pairs: Session) -> None:
    fit(pairs)
    runs = [done.seconds for done in pairs.study.all_work("finetune")]
    sites = [done.seconds for done in pairs.study.all_work("site")]
    assert prepare(pairs, "simple").seconds == pytest.approx(sum(runs))
    assert prepare(pairs, "diagonal").seconds == pytest.approx(sum(runs) + sum(sites))
    found = prepare(pairs, "mixture")
    runs, sites = ([done.seconds for done in pairs.study.all_work(kind)] for kind in ("finetune", "site"))
    assert (len(runs), len(sites)) == (6, 6)
    assert found.seconds == pytest.approx(sum(runs) + sum(sites))
    assert prepare(pairs, "average").seconds == pytest.approx(sum(runs))


def test_a_mixture_s_shape_is_part_of_its_previews_names(pairs: Session) -> None:
    fit(pairs)
    whole = preview(pairs, ["mixture"], [POINT])
    shaped = replace(pairs, recipe=pairs.recipe.model_copy(update={"ensemble": Ensemble(members=2, blocks="tensor")}))
    assert preview(shaped, ["mixture"], [POINT])[0].cost != whole[0].cost
    assert len(pairs.study.all_work("evaluation")) == 2


def test_lowrank_knows_more_than_its_diagonal(pairs: Session) -> None:
    """Its secants come from the same runs as the mixture's."""
    found = prepare(pairs, "lowrank")
    sites = found.sites(prior_of(pairs, 0.003))
    assert {len(done) for done in found.works.values()} == {3}  # two runs and an estimate
    assert all([done.artefact for done in works[:2]] == runs_of(pairs, task) for task, works in found.works.items())
    own = merge(prior_of(pairs, 0.003), sites, uniform(pairs.problem.names)).precision()
    assert own.structure == "lowrank"


def test_a_mixture_is_never_without_its_controls() -> None:
    assert with_controls(["simple", "mixture"]) == ["simple", "mixture", "average", "weighted"]
    assert with_controls(["average", "mixture", "diagonal"]) == ["average", "mixture", "weighted", "diagonal"]
    assert with_controls(["simple", "kronecker"]) == ["simple", "kronecker"]
