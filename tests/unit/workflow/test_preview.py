from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from finished import site_at
from foretaste.evaluate import Result, evaluate
from foretaste.evaluation import Fidelity
from foretaste.loading import load
from foretaste.merge import merge
from foretaste.methods import previews as previewing
from foretaste.methods.previews import memory_of
from foretaste.params import Params, parameters_of, snapshot
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.recipe import parse
from foretaste.sources.frozen import freeze_modules
from foretaste.sources.problem import Problem
from foretaste.store.study import Study
from foretaste.task import Task
from foretaste.together import evaluate_each
from foretaste.train.batch_norm import reestimate
from foretaste.weights import TaskWeights, corners, lattice, uniform
from foretaste.work.judge import judged_by
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import prepare, prepare_merger, preview
from foretaste.workflow.session import Session
from foretaste.workflow.start import start
from problems import blobs, linear

POINT = TaskWeights(["low", "mid", "high"], [0.2, 0.3, 0.5])


def merged(session: Session, method: str, weights: TaskWeights) -> dict[str, torch.Tensor]:
    precision = 1.0 if method == "simple" else 0.003  # the recipe's, where there is curvature for it to compete with
    prior = Gaussian(snapshot(parameters_of(session.problem.model)), Isotropic(precision))
    return dict(merge(prior, prepare(session, method).sites(prior), weights).params)


def test_simple_takes_posteriors_as_isotropic(session: Session) -> None:
    """So its preview is the alpha-weighted mean of the tasks' params."""
    fit(session)
    found = merged(session, "simple", POINT)
    for name, tensor in found.items():
        expected = sum(alpha * site_at(session, task).center[name].double() for task, alpha in POINT.items())
        torch.testing.assert_close(tensor.double(), expected, atol=1e-6, rtol=1e-5)
    assert any(not torch.allclose(tensor, merged(session, "diagonal", POINT)[name]) for name, tensor in found.items())


@pytest.mark.parametrize("method", ["simple", "diagonal"])
def test_rows_are_evaluations_of_the_merge(session: Session, method: str) -> None:
    rows = preview(session, [method], [POINT, uniform(session.problem.names)])
    assert [row.weights for row in rows] == [POINT, uniform(session.problem.names)]
    assert {(row.method, row.fidelity, row.seed) for row in rows} == {(method, Fidelity.PREVIEW, 0)}
    expected = evaluate(session.problem.model, merged(session, method, POINT), session.problem.tasks)
    assert {task: dict(found) for task, found in rows[0].metrics.items()} == {task: dict(each.metrics) for task, each in expected.items()}
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
    for corner, row in zip(corners(session.problem.names), preview(session, ["diagonal"], corners(session.problem.names)), strict=True):
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


def test_small_models_are_previewed_together_and_rows_are_found(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of nine are there; the others are made four at a time, as evaluating each by itself would make them."""
    fit(session)
    points = lattice(session.problem.names, 3)[:9]
    before = preview(session, ["diagonal"], points[2:5])
    together: list[int] = []

    def counted(
        model: nn.Module, many: Sequence[Params], tasks: Sequence[Task], *, batch_size: int, on_batch: Callable[[], None]
    ) -> list[dict[str, Result]]:
        together.append(len(many))
        return evaluate_each(model, many, tasks, batch_size=batch_size, on_batch=on_batch)

    monkeypatch.setattr(previewing, "evaluate_each", counted)
    monkeypatch.setattr(previewing, "at_once", lambda model, tasks: 4)
    rows = preview(session, ["diagonal"], points)
    assert together == [4, 2]
    assert rows[2:5] == before
    for weights, row in zip(points, rows, strict=True):
        expected = evaluate(session.problem.model, merged(session, "diagonal", weights), session.problem.tasks)
        assert all(dict(row.metrics[task]) == pytest.approx(dict(each.metrics), rel=1e-6) for task, each in expected.items())
    assert len({row.cost for row in rows}) > 1
    assert len(session.study.all_work("evaluation")) == 9


def counting(sizes: list[int]) -> Callable[[nn.Linear, torch.Tensor], torch.Tensor]:
    def forward(layer: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
        sizes.append(layer.out_features)
        return nn.functional.linear(inputs, layer.weight, layer.bias)

    return forward


def test_what_is_frozen_runs_once_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previewing, "at_once", lambda model, tasks: 1)
    text = "name: a\nmodel: {source: digits}\nfinetune: {steps: 4, batch_size: 8, freeze: ['0', '2']}\ncurvature: {max_examples: 8}\n"
    recipe = parse(text)
    session = start(recipe, text, load(recipe, text, ""), tmp_path / "study")
    with session.study:
        fit(session)
        points = lattice(session.problem.names, 2)
        assert set(site_at(session, "low").center) == {"4.weight", "4.bias"}
        _, found = prepare_merger(session, "simple")
        assert memory_of(session, found).modules == ["0", "2"]
        first: list[int] = []
        with monkeypatch.context() as patch:
            patch.setattr(nn.Linear, "forward", counting(first))
            rows = preview(session, ["simple"], points)
        batches = sum(-(-len(task.validation) // 128) for task in session.problem.tasks)
        assert first.count(32) == 2 * (batches + 1)  # both frozen layers: every batch once, the first twice
        assert first.count(10) == batches * len(points)
        for weights, row in zip(points, rows, strict=True):
            expected = evaluate(session.problem.model, found.merge(weights).params, session.problem.tasks)
            assert {task: dict(each.metrics) for task, each in expected.items()} == {task: dict(each) for task, each in row.metrics.items()}


def test_statistics_that_move_are_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previewing, "at_once", lambda model, tasks: 1)
    for batch_norm, expected in (("update", ["0"]), ("freeze", ["0", "1"])):
        text = f"name: a\nmodel: {{source: digits}}\nfinetune: {{steps: 4, batch_size: 8, freeze: ['0', '1'], batch_norm: {batch_norm}}}\n"
        problem = freeze_modules(Problem(linear(), (blobs("a", 1), blobs("b", 2))), ["0", "1"])
        session = start(parse(text), text, problem, tmp_path / batch_norm)
        with session.study:
            assert memory_of(session, prepare_merger(session, "simple")[1]).modules == expected


def test_keys_name_what_a_preview_depends_on(session: Session) -> None:
    """The curvature and the prior's precision matter to `diagonal` only."""
    fitted = fit(session)
    preview(session, ["simple", "diagonal"], [POINT])
    simple, diagonal = (done.inputs for done in session.study.all_work("evaluation"))
    assert "prior_precision" not in simple
    assert diagonal["prior_precision"] == 0.003
    assert {task: len(hashes) for task, hashes in simple["sites"].items()} == dict.fromkeys(fitted, 1)
    assert diagonal["sites"] == {task: list(each.artefacts) for task, each in fitted.items()}
    assert judged_by(session).items() <= simple.items()


def test_progress_is_told(session: Session) -> None:
    class Looker:
        def __init__(self) -> None:
            self.told: list[str] = []

        def begin(self, label: str, total: int) -> None:
            self.told.append(f"{label} {total}")

        def advance(self, amount: int, note: str = "") -> None:
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
        f"name: a\nmodel: {{source: digits}}\nfinetune: {{steps: 4, batch_size: 8, learning_rate: 0.01}}\npreview: {{batch_norm: {how}}}\n"
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
    expected = params if how == "average" else reestimate(problem.model, params, problem.tasks, uniform("ab"), generator=generator)
    found = evaluate(problem.model, expected, problem.tasks)
    assert all(dict(row.metrics[task]) == pytest.approx(dict(each.metrics), rel=1e-6) for task, each in found.items())
    with Study.open(folder) as study:
        assert ("batch_norm" in study.all_work("evaluation")[0].inputs) == (how == "reestimate")
