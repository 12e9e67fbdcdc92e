"""Previews as work: rows that are made together, named by what they depend on."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from finished import site_at
from foretaste.errors import RecipeError
from foretaste.evaluate import Result, evaluate
from foretaste.evaluation import Fidelity
from foretaste.loading import load
from foretaste.merge import merge
from foretaste.methods import previews as previewing
from foretaste.methods.previews import SharpenedPreview, memory_of, merger_of, method_work, sites_of
from foretaste.methods.tune import PriorPrecision
from foretaste.params import Params, parameters_of, snapshot
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.recipe import parse
from foretaste.simplex import lattice
from foretaste.sources.frozen import freeze_modules
from foretaste.sources.problem import Problem
from foretaste.task import Task
from foretaste.together import evaluate_each
from foretaste.train.sharpen import sharpen
from foretaste.weights import TaskWeights
from foretaste.work.judge import describe_evaluation
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


def test_small_models_are_previewed_together_and_rows_are_found(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of nine are there; the others are made four at a time, as evaluating each by itself would make them."""
    fit(session)
    points = lattice(session.problem.names, 3)[:9]
    before = preview(session, ["diagonal"], points[2:5])
    together: list[int] = []

    def counted(
        model: nn.Module,
        many: Sequence[Params],
        tasks: Sequence[Task],
        *,
        batch_size: int,
        on_batch: Callable[[], None],
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
        assert all(
            dict(row.metrics[task]) == pytest.approx(dict(each.metrics), rel=1e-6) for task, each in expected.items()
        )
    assert len({row.cost for row in rows}) > 1
    assert len(session.study.all_work("evaluation")) == 9


def counting(sizes: list[int]) -> Callable[[nn.Linear, torch.Tensor], torch.Tensor]:
    def forward(layer: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
        sizes.append(layer.out_features)
        return nn.functional.linear(inputs, layer.weight, layer.bias)

    return forward


def test_what_is_frozen_runs_once_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previewing, "at_once", lambda model, tasks: 1)
    text = (
        "name: a\nmodel: {source: digits}\nfinetune: {steps: 4, batch_size: 8, freeze: ['0', '2']}\ncurvature:"
        " {max_examples: 8}\n"
    )
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
            assert {task: dict(each.metrics) for task, each in expected.items()} == {
                task: dict(each) for task, each in row.metrics.items()
            }


def test_statistics_that_move_are_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previewing, "at_once", lambda model, tasks: 1)
    for batch_norm, expected in (("update", ["0"]), ("freeze", ["0", "1"])):
        text = (
            "name: a\nmodel: {source: digits}\nfinetune: {steps: 4, batch_size: 8, freeze: ['0', '1'], batch_norm:"
            f" {batch_norm}}}\n"
        )
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
    assert describe_evaluation(session).items() <= simple.items()


def test_a_method_s_work_ends_with_the_choice_of_its_prior(tuning: Session) -> None:
    assert method_work(tuning, "diagonal")[-1] == PriorPrecision("diagonal")
    assert PriorPrecision("simple") not in method_work(tuning, "simple")  # without curvature it does not matter


def test_a_sharpened_preview_goes_on_from_the_merge(session: Session) -> None:
    row = session.finish([SharpenedPreview("diagonal", 2, POINT)])[0][0]
    assert (row.fidelity, row.method, row.steps) == (Fidelity.SHARPENED, "diagonal", 2)
    training = session.joint_training
    params = sharpen(
        session.problem.model, None, merged(session, "diagonal", POINT), session.problem.tasks, POINT, training, steps=2
    ).params
    expected = evaluate(session.problem.model, params, session.problem.tasks)
    assert all(
        dict(row.metrics[task]) == pytest.approx(dict(each.metrics), rel=1e-5) for task, each in expected.items()
    )


def test_sites_and_merger_are_built_once(session: Session) -> None:
    prepare_merger(session, "diagonal")
    assert merger_of(session, "diagonal")[1] is merger_of(session, "diagonal")[1]
    assert sites_of(session, "diagonal")[1] == 0.003
    with pytest.raises(RecipeError):
        merger_of(session, "predictive")
