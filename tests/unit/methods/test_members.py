"""Several runs of every task."""

from collections.abc import Sequence

from finished import run_artefacts
from foretaste.methods.members import combine_sites, finished_works, member_curvatures
from foretaste.methods.method import prior_of
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.site import GaussianSite
from foretaste.work.curvature import task_curvature
from foretaste.work.runs import SingleTaskRun
from foretaste.workflow.preview import prepare
from foretaste.workflow.session import Session


def test_controls_rest_on_the_same_runs_as_the_mixture(pairs: Session) -> None:
    found = {method: prepare(pairs, method) for method in ("mixture", "average", "weighted")}
    for task in pairs.problem.names:
        runs = {
            method: [done.key for done in each.works[task] if done.kind == "finetune"] for method, each in found.items()
        }
        assert len(runs["mixture"]) == 2
        assert runs["mixture"] == runs["average"] == runs["weighted"]
        assert found["average"].artefacts[task] == run_artefacts(pairs, task)
    assert found["mixture"].artefacts == found["weighted"].artefacts
    assert [done.kind for done in pairs.study.all_work()].count("finetune") == 6


def test_the_first_run_is_the_task_s_model(pairs: Session) -> None:
    for task, own in member_curvatures(pairs).items():
        assert own[0] == task_curvature(pairs, task)
        assert [each.run for each in own[1:]] == [SingleTaskRun(task, 1)]


def test_finished_work_is_listed_run_by_run(pairs: Session) -> None:
    prepare(pairs, "mixture")
    assert [done.kind for done in finished_works(pairs)["low"]] == ["finetune", "site", "finetune", "site"]


def test_sites_are_loaded_once_for_all_priors(pairs: Session) -> None:
    prepare(pairs, "mixture")
    seen: list[list[GaussianSite]] = []

    def first(prior: Gaussian, sites: Sequence[GaussianSite]) -> GaussianSite:
        seen.append(list(sites))
        return sites[0]

    make = combine_sites(pairs, first)
    for precision in (0.1, 1.0):
        assert list(make(prior_of(pairs, precision))) == pairs.problem.names
    assert all(one is other for one, other in zip(seen[0], seen[3], strict=True))
