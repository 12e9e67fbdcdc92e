from dataclasses import replace

import pytest
import torch

from foretaste.evaluate import evaluate
from foretaste.evaluation import Fidelity
from foretaste.merge import merge
from foretaste.params import parameters_of, snapshot
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.recipe import parse
from foretaste.sources.problem import Problem
from foretaste.store.study import StudyStore
from foretaste.train.batch_norm import reestimate
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import prepare, preview
from foretaste.workflow.session import Session
from foretaste.workflow.start import start
from problems import blobs, linear

POINT = TaskWeights(["low", "mid", "high"], [0.2, 0.3, 0.5])


def merged(session: Session, method: str, weights: TaskWeights) -> dict[str, torch.Tensor]:
    precision = 1.0 if method == "simple" else 0.003  # the recipe's, where there is curvature for it to compete with
    prior = Gaussian(snapshot(parameters_of(session.problem.model)), Isotropic(precision))
    return dict(merge(prior, prepare(session, method).sites(prior), weights).params)


@pytest.mark.parametrize("method", ["simple", "diagonal"])
def test_rows_are_evaluations_of_the_merge(session: Session, method: str) -> None:
    rows = preview(session, [method], [POINT, uniform(session.problem.names)])
    assert [row.weights for row in rows] == [POINT, uniform(session.problem.names)]
    assert {(row.method, row.fidelity, row.seed) for row in rows} == {(method, Fidelity.PREVIEW, 0)}
    expected = evaluate(session.problem.model, merged(session, method, POINT), session.problem.tasks)
    assert {task: dict(found) for task, found in rows[0].metrics.items()} == {
        task: dict(each.metrics) for task, each in expected.items()
    }
    assert rows[0].cost > 0


def test_the_prior_is_of_no_matter_to_simple(session: Session) -> None:
    fit(session)
    precisions = (0.003, 1.0, 100.0)
    start = snapshot(parameters_of(session.problem.model))
    sites = prepare(session, "simple")
    found = [sites.under(Gaussian(start, Isotropic(precision))).merge(POINT).params for precision in precisions]
    for other in found[1:]:
        torch.testing.assert_close(dict(other), dict(found[0]), atol=1e-6, rtol=1e-5)


def test_corners_are_the_single_task_models(session: Session) -> None:
    fitted = fit(session)
    for corner, row in zip(
        corners(session.problem.names), preview(session, ["diagonal"], corners(session.problem.names)), strict=True
    ):
        params = session.study.tensors(fitted[str(corner.corner)].run.artefact)
        expected = evaluate(session.problem.model, params, session.problem.tasks)
        assert all(dict(row.metrics[task]) == dict(expected[task].metrics) for task in expected)


def test_a_preview_is_made_once_and_keeps_results_per_example(session: Session) -> None:
    first = preview(session, ["diagonal"], [POINT])
    kept = session.study.all_work("evaluation")
    assert preview(session, ["diagonal"], [POINT]) == first
    assert session.study.all_work("evaluation") == kept
    results = session.study.tensors(kept[0].artefact)
    assert {name.partition("/")[2] for name in results} == {"losses", "predicted"}
    assert float(results["low/losses"].double().mean()) == pytest.approx(first[0].metrics["low"]["loss"], rel=1e-6)
    assert len(results["low/predicted"]) == len(session.problem.tasks[0].validation)


def test_progress_is_told(session: Session) -> None:
    class Looker:
        def __init__(self) -> None:
            self.told: list[str] = []

        def begin(self, label: str, total: int) -> None:
            self.told.append(f"{label} {total}")

        def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
            self.told.append(note)

        def say(self, text: str) -> None:
            raise AssertionError(text)

        def stopping(self) -> bool:
            return False

    looker = Looker()
    preview(replace(session, watch=looker), ["simple", "diagonal"], [POINT])
    assert looker.told == ["previews by simple 1", str(POINT), "previews by diagonal 1", str(POINT)]


@pytest.mark.parametrize("how", ["reestimate", "average"])
def test_batch_norm_statistics_inside_the_simplex(tmp_path_factory: pytest.TempPathFactory, how: str) -> None:
    text = (
        "name: a\nmodel: {source: digits}\nfinetune: {steps: 4, batch_size: 8, learning_rate: 0.01}\npreview:"
        f" {{batch_norm: {how}}}\n"
    )
    problem = Problem(linear(), (blobs("a", 1), blobs("b", 2)))
    folder = tmp_path_factory.mktemp("norm") / "study"
    session = start(parse(text), text, problem, folder)
    with session.study:
        fit(session)
        row = preview(session, ["simple"], [uniform("ab")])[0]
        prior = Gaussian(snapshot(parameters_of(problem.model)), Isotropic(1.0))
        params = merge(prior, prepare(session, "simple").sites(prior), uniform("ab")).params
    generator = torch.Generator().manual_seed(0)
    expected = (
        params
        if how == "average"
        else reestimate(problem.model, params, problem.tasks, uniform("ab"), generator=generator)
    )
    found = evaluate(problem.model, expected, problem.tasks)
    assert all(dict(row.metrics[task]) == pytest.approx(dict(each.metrics), rel=1e-6) for task, each in found.items())
    with StudyStore.open(folder) as study:
        assert ("batch_norm" in study.all_work("evaluation")[0].inputs) == (how == "reestimate")
