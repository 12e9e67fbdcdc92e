"""Tasks with other losses than cross-entropy, from a function, the whole way to a recommendation."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from commands import Ran, foretaste, refused
from foretaste.evaluate import evaluate
from foretaste.loading import load
from foretaste.recipe import read
from foretaste.store.study import StudyStore

METHODS = ("simple", "diagonal", "kronecker", "lowrank", "variational", "mixture", "predictive", "anchored")

SOURCE = """
import torch
from torch import nn

from foretaste.loss.bernoulli import Bernoulli
from foretaste.loss.squared import Squared
from foretaste.metrics import LABEL_SET_METRICS, REGRESSION_METRICS
from foretaste.task import Rows, Task


def numbers(bad=None):
    return _problem(Squared(), REGRESSION_METRICS, lambda latent: latent, bad)


def label_sets(bad=None):
    return _problem(Bernoulli(), LABEL_SET_METRICS, lambda latent: (latent > 0).float(), bad)


def _problem(loss, metrics, labels_of, bad):
    generator = torch.Generator().manual_seed(0)
    common, tasks = torch.randn(4, 3, generator=generator), []
    for name in ("west", "east"):
        inputs = torch.randn(80, 4, generator=generator)
        slopes = common + 0.7 * torch.randn(4, 3, generator=generator)
        labels = labels_of(inputs @ slopes + 0.2 * torch.randn(80, 3, generator=generator))
        labels[torch.rand(labels.shape, generator=generator) < 0.1] = torch.nan
        if bad is not None and name == "east":
            labels[50, 1] = bad
        rows = Rows(inputs[:40], labels[:40]), Rows(inputs[40:], labels[40:])
        tasks.append(Task(name, *rows, list(reversed(metrics.values())), loss=loss))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3)), tasks
"""


@dataclass(frozen=True)
class Flow:
    """A recipe that ran, and what it printed."""

    recipe: Path
    study: Path
    ran: Ran


def written(folder: Path, call: str, bad: str = "") -> Path:
    (folder / "regions.py").write_text(SOURCE)
    recipe = folder / "tiny.yaml"
    recipe.write_text(
        "name: regions\nsnapshot_seconds: 20\nmodel: {source: function, call:"
        f" 'regions:{call}'{bad and f', arguments: {{bad: {bad}}}'}}}\nfinetune: {{steps: 60, batch_size: 8,"
        " learning_rate: 0.01}\ncurvature: {labels: exact}\nensemble: {members: 2}\nvariational: {learning_rate:"
        f" 3, hessian_init: 1}}\npreview: {{points: 5, methods: [{', '.join(METHODS)}]}}\njoint: {{points: 2}}\n"
    )
    return recipe


@pytest.fixture(scope="module", params=["numbers", "label_sets"])
def flow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Flow:
    folder = tmp_path_factory.mktemp("regions")
    recipe = written(folder, request.param)
    ran = foretaste("run", recipe, "--study", folder / "study", "--json")
    assert ran.code == 0, ran.err
    return Flow(recipe, folder / "study", ran)


def recommended(text: str) -> object:
    return json.loads(text)["recommendation"]


def test_it_ends_with_a_recommendation_that_show_repeats(flow: Flow) -> None:
    found = json.loads(flow.ran.out)
    assert sum(found["recommendation"]["weights"].values()) == pytest.approx(1)
    assert set(METHODS) | {"joint"} <= {row["method"] for row in found["rows"]}
    assert recommended(foretaste("show", flow.study, "--json").out) == recommended(flow.ran.out)


def test_the_tasks_are_learned(flow: Flow) -> None:
    """At its own corner every task is predicted better than at the other's."""
    rows = [row for row in json.loads(flow.ran.out)["rows"] if row["method"] == "simple"]
    corners = {task: next(row["metrics"] for row in rows if row["weights"][task] == 1) for task in ("west", "east")}
    for task, other in (("west", "east"), ("east", "west")):
        assert corners[task][task]["loss"] < corners[other][task]["loss"]


def test_a_corner_of_the_ensemble_is_the_single_task_model(flow: Flow) -> None:
    rows = json.loads(flow.ran.out)["rows"]
    for task in ("west", "east"):
        found = {row["method"]: row["metrics"] for row in rows if row["weights"][task] == 1}
        for name, metrics in found["simple"].items():
            assert found["predictive"][name] == pytest.approx(metrics, rel=1e-5, abs=1e-6)


def test_params_that_are_kept_give_the_numbers_of_their_row(flow: Flow) -> None:
    fitted = json.loads(foretaste("fit", flow.recipe, "--study", flow.study, "--json").out)
    plan, text = read(flow.recipe)
    problem = load(plan, text, str(flow.recipe))
    rows = [row for row in json.loads(flow.ran.out)["rows"] if row["method"] == "simple"]
    with StudyStore.open(flow.study) as study:
        for task in ("west", "east"):
            result = evaluate(problem.model, study.tensors(fitted[task]["params"]), problem.tasks)
            row = next(row for row in rows if row["weights"][task] == 1)
            for name, metrics in row["metrics"].items():
                assert metrics == pytest.approx(dict(result[name].metrics), rel=1e-5, abs=1e-6)


def test_previews_can_be_raced(flow: Flow, tmp_path: Path) -> None:
    """Some of the weightings were evaluated before: the race reads what is kept of each example."""
    recipe = flow.recipe.with_name("finer.yaml")
    recipe.write_text(flow.recipe.read_text().replace("points: 5", "points: 9"))
    raced = foretaste("preview", recipe, "--study", flow.study, "--method", "simple", "--race", "--json")
    assert raced.code == 0, raced.err
    [found] = json.loads(raced.out)
    assert found["reason"] == ""
    whole = foretaste("preview", recipe, "--study", tmp_path / "study", "--method", "simple", "--json")
    expected = {json.dumps(row["weights"]): row["metrics"] for row in json.loads(whole.out)}
    assert len(found["rows"]) + len(found["dropped"]) == len(expected)
    for row in found["rows"]:
        for task, metrics in row["metrics"].items():
            assert metrics == pytest.approx(expected[json.dumps(row["weights"])][task], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("call", "bad", "message"),
    [
        (
            "numbers",
            ".inf",
            "tasks.east.validation: a label is infinite, and so is its squared error; correct it, or give NaN",
        ),
        ("label_sets", "2", "tasks.east.validation: label 2 is neither 0 nor 1"),
    ],
)
def test_labels_that_cannot_be_are_refused_before_any_work(tmp_path: Path, call: str, bad: str, message: str) -> None:
    assert message in refused("run", written(tmp_path, call, bad), "--study", tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_who_forgets_the_loss_is_told_of_it(tmp_path: Path) -> None:
    recipe = written(tmp_path, "numbers")
    recipe.write_text(recipe.read_text().replace("regions:", "forgetful:"))
    (tmp_path / "forgetful.py").write_text(SOURCE.replace(", loss=loss))", "))"))
    message = refused("check", recipe)
    assert "tasks.west.train: labels are torch.float32, not class numbers" in message
    assert "loss=Squared() for numbers to predict" in message


def test_another_loss_is_another_task(flow: Flow) -> None:
    plan, text = read(flow.recipe)
    task = load(plan, text, str(flow.recipe)).tasks[0]
    assert task.fingerprint
    assert task.identity != task.fingerprint
