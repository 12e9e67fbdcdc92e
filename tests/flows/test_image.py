"""Tiny image models, tasks of different labels with a head each, from Parquet and a folder of images."""

import json
from pathlib import Path

import pytest
import torch

from checkpoints import Checkpoints, image_folder, parquet, transformers_recipe
from commands import Ran, foretaste, refused
from foretaste.evaluate import evaluate
from foretaste.merge import merge
from foretaste.params import buffers_of, parameters_of, snapshot
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.recipe import read
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.workflow.check import check
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import prepare
from foretaste.workflow.session import Session
from foretaste.workflow.start import start

SHADES, SIGNS = ["dark", "light"], ["hands", "signs", "words"]


@pytest.fixture(scope="module", params=["vit", pytest.param("mobilenet", marks=pytest.mark.slow)])
def recipe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, checkpoints: Checkpoints) -> Path:
    folder = tmp_path_factory.mktemp("image")
    tasks = {
        "shades": (
            parquet(folder / "train.parquet", 16, 1, SHADES),
            parquet(folder / "validation.parquet", 8, 2, SHADES),
        ),
        "signs": (image_folder(folder / "train", 18, 3, SIGNS), image_folder(folder / "validation", 9, 4, SIGNS)),
    }
    return transformers_recipe(folder / "tiny.yaml", getattr(checkpoints, request.param), tasks, kind="image")


@pytest.fixture(scope="module")
def ran(recipe: Path) -> Ran:
    found = foretaste("run", recipe, "--study", recipe.parent / "study", "--json")
    assert found.code == 0, found.err
    return found


@pytest.fixture
def session(recipe: Path, ran: Ran) -> Session:
    plan, text = read(recipe)
    return start(plan, text, check(plan, text, str(recipe))[1], recipe.parent / "study")


def test_it_ends_with_a_recommendation_and_a_report(recipe: Path, ran: Ran) -> None:
    found = json.loads(ran.out)
    assert sum(found["recommendation"]["weights"].values()) == pytest.approx(1)
    assert found["confirmation"] is not None
    assert Path(found["report"]).stat().st_size > 1_000_000
    shown = foretaste("show", recipe.parent / "study", "--json")
    assert json.loads(shown.out)["recommendation"] == found["recommendation"]
    assert {row["fidelity"] for row in found["rows"]} == {"preview", "joint"}


def test_joint_runs_train_every_head(ran: Ran) -> None:
    weights = [row["weights"] for row in json.loads(ran.out)["rows"] if row["fidelity"] == "joint"]
    assert weights
    assert all(min(each.values()) > 0 for each in weights)


def test_each_task_has_its_own_head_and_labels(session: Session) -> None:
    with session.study:
        shades, signs = session.problem.tasks
        assert (shades.classes, signs.classes) == (tuple(SHADES), tuple(SIGNS))
        assert shades.names is not None
        assert signs.names is not None
        assert {name.split(".")[1] for name in shades.names - signs.names} == {"for_shades"}
        assert shades.names & signs.names == {
            name for name in parameters_of(session.problem.model) if name.startswith("trunk.")
        }


def test_private_heads_travel_unmerged_and_corners_are_exact(session: Session) -> None:
    with session.study:
        fitted = fit(session)
        prior = Gaussian(snapshot(parameters_of(session.problem.model)), Isotropic(1.0))
        single = {task: session.study.tensors(each.run.artefact) for task, each in fitted.items()}
    names = {task.name: task.names or frozenset() for task in session.problem.tasks}
    heads = {task: [name for name in own if name.startswith("heads.")] for task, own in names.items()}
    for method in ("simple", "diagonal", "anchored"):
        sites = prepare(session, method).sites(prior)
        inside = merge(prior, sites, TaskWeights(["shades", "signs"], [0.25, 0.75])).params
        for task, own in heads.items():
            assert own
            assert all(torch.equal(inside[name], single[task][name]) for name in own)
            assert any(not torch.equal(inside[name], single[task][name]) for name in names[task])
        for corner in corners(list(single)):
            task = str(corner.corner)
            found = merge(prior, sites, corner).params
            assert all(torch.equal(found[name], single[task][name]) for name in names[task])
            assert all(torch.equal(found[name], single[task][name]) for name in buffers_of(session.problem.model))


def test_a_corner_preview_is_evaluated_as_the_single_task_model(session: Session, recipe: Path) -> None:
    with session.study:
        fitted = fit(session)
        single = {task: session.study.tensors(each.run.artefact) for task, each in fitted.items()}
    for task in session.problem.tasks:
        expected = evaluate(session.problem.model, single[task.name], [task])[task.name].metrics
        options = ["--weights", f"{task.name}=1", "--study", recipe.parent / "study", "--json"]
        rows = json.loads(foretaste("preview", recipe, *options).out)
        assert [row["method"] for row in rows] == ["simple", "anchored"]
        assert all(row["metrics"][task.name] == pytest.approx(dict(expected), rel=1e-6) for row in rows)


def test_a_joint_run_that_would_leave_a_head_untrained_is_refused(recipe: Path, ran: Ran) -> None:
    message = refused("confirm", recipe, "--weights", "shades=1", "--study", recipe.parent / "study")
    assert (
        "joint finetuning at shades=1,signs=0 would never train the head of task 'signs'; give it some weight"
        in message
    )


def test_confirm_at_given_weights(recipe: Path, ran: Ran) -> None:
    options = ["--weights", "uniform", "--study", recipe.parent / "study", "--json"]
    rows = json.loads(foretaste("confirm", recipe, *options).out)
    assert [(row["fidelity"], row["method"]) for row in rows] == [
        ("preview", "simple"),
        ("preview", "anchored"),
        ("joint", "joint"),
    ]
    assert all(
        TaskWeights(list(row["weights"]), list(row["weights"].values())) == uniform(["shades", "signs"]) for row in rows
    )
