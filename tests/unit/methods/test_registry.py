from dataclasses import replace

import pytest
import torch

from foretaste.errors import RecipeError, TaskError
from foretaste.method_table import METHOD_TABLE, MethodRow
from foretaste.methods.registry import check_methods, find_method, last_with_params, require_params
from foretaste.metric_kinds import ModelMetric
from foretaste.sources.weight_space import WeightSpace
from foretaste.weights import TaskWeights, corners
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import prepare, prepare_merger, preview
from foretaste.workflow.session import Session

POINT = TaskWeights(["low", "mid", "high"], [0.2, 0.3, 0.5])
ONE_RUN = ["simple", "diagonal", "kronecker", "lowrank"]
MANY_RUNS = ["mixture", "average", "weighted"]


@pytest.mark.parametrize("name", METHOD_TABLE)
def test_every_row_of_the_table_has_its_method(name: str) -> None:
    assert find_method(name).name == name


def test_a_row_without_a_method_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHOD_TABLE, "strange", MethodRow("strange", "no method at all", "pathlib:Path"))
    with pytest.raises(RecipeError, match=r"pathlib:Path is not a foretaste\.methods\.method\.Method"):
        find_method("strange")


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


def test_methods_without_params_are_refused_where_params_are_needed(session: Session) -> None:
    require_params("diagonal")
    with pytest.raises(RecipeError, match="predictive"):
        require_params("predictive")
    assert last_with_params(["simple", "diagonal", "predictive"]) == "diagonal"
    with pytest.raises(RecipeError, match="predictive"):
        last_with_params(["predictive"])


def test_methods_that_mix_predictions_need_metrics_that_follow_from_them(session: Session) -> None:
    check_methods(["predictive"], session.problem.tasks)
    judged = replace(session.task("low"), metrics=[ModelMetric("x")], judge=lambda model, names, most: {"x": 1.0})
    check_methods(["simple"], [judged])
    with pytest.raises(TaskError, match="mixed predictions come from no model"):
        check_methods(["predictive"], [judged])


def test_curvature_of_factors_is_refused_where_updates_are_merged(session: Session) -> None:
    space, tasks = WeightSpace({}), session.problem.tasks
    check_methods(["simple", "diagonal", "kronecker", "anchored", "mixture", "factors"], tasks, space)
    for method in ("lowrank", "variational"):
        with pytest.raises(RecipeError, match=f"method {method} learns a curvature of the trained params"):
            check_methods([method], tasks, space)
    with pytest.raises(RecipeError, match="method factors is for models trained by LoRA"):
        check_methods(["factors"], tasks)
