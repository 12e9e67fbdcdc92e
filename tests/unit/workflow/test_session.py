import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from foretaste.errors import DataError, RecipeError
from foretaste.loading import load
from foretaste.params import parameters_of
from foretaste.recipe import parse
from foretaste.sources.digits import digits
from foretaste.sources.problem import Problem
from foretaste.weights import corners, lattice, uniform
from foretaste.workflow.check import check
from foretaste.workflow.points import grid, joint_points
from foretaste.workflow.session import Session
from problems import blobs, linear

DIGITS = "name: a\nmodel: {source: digits}\n"


def problem(count: int, private: bool = False) -> Problem:
    model = linear()
    fewer = frozenset(list(parameters_of(model))[:-1])
    tasks = [replace(blobs(f"t{place}", place), names=fewer if private and place == 0 else None) for place in range(count)]
    return Problem(model, tuple(tasks))


def test_digits_follow_the_recipe_s_seed() -> None:
    text = DIGITS + "seed: 1\n"
    assert load(parse(text), text, "r.yaml").base() == digits(1).base()


def test_functions_are_looked_for_beside_the_recipe(tmp_path: Path) -> None:
    code = "from problems import blobs, linear\ndef made(count):\n    return linear(), [blobs(f't{i}', i) for i in range(count)]\n"
    (tmp_path / "beside.py").write_text(code)
    text = "name: a\nmodel: {source: function, call: 'beside:made', arguments: {count: 3}}\n"
    assert load(parse(text), text, str(tmp_path / "r.yaml")).names == ["t0", "t1", "t2"]


def test_errors_of_sources_name_the_recipe_s_line(tmp_path: Path) -> None:
    tasks = "".join(f"  {name}:\n    train: gone.csv\n    validation: gone.csv\n    text: t\n" for name in "ab")
    text = f"name: a\nmodel: {{source: transformers, path: x, kind: text-classification}}\ntasks:\n{tasks}"
    with pytest.raises(RecipeError, match=r"r\.yaml, line 5, tasks\.a\.train: gone\.csv does not exist"):
        load(parse(text), text, "r.yaml")
    text = "name: a\nmodel: {source: function, call: 'nowhere_at_all:f'}\n"
    with pytest.raises(DataError, match="No module named 'nowhere_at_all'"):
        load(parse(text), text, str(tmp_path / "r.yaml"))


def test_check_counts_what_run_will_make() -> None:
    text = DIGITS + "preview: {points: 10}\njoint: {points: 2}\n"
    found, made = check(parse(text), text, "r.yaml")
    assert found.parameters == sum(tensor.numel() for tensor in made.model.parameters())
    assert found.trainings == (3, 3)
    assert found.previews == len(lattice("abc", 3)) == 10
    assert found.tasks["mid"] == {"train": 300, "validation": len(made.tasks[1].validation), "classes": 3, "metrics": ["accuracy"]}


def test_check_tries_every_task(tmp_path: Path) -> None:
    """A label that the model has no class for is found before any work."""
    code = (
        "import torch\nfrom dataclasses import replace\nfrom problems import blobs, linear\nfrom foretaste.task import Rows\n"
        "def made():\n    bad = Rows(torch.randn(4, 4), torch.zeros(4, 2, dtype=torch.long))\n"
        "    return linear(), [blobs('a', 1), replace(blobs('b', 2), validation=bad)]\n"
    )
    (tmp_path / "misfit.py").write_text(code)
    text = "name: a\nmodel: {source: function, call: 'misfit:made'}\n"
    with pytest.raises(RecipeError, match=r"tasks\.b\.validation: logits \[2, 3\] and labels \[2, 2\] do not fit"):
        check(parse(text), text, str(tmp_path / "r.yaml"))


def test_check_names_the_task_that_the_model_cannot_take(tmp_path: Path) -> None:
    code = (
        "import torch\nfrom dataclasses import replace\nfrom problems import blobs, linear\nfrom foretaste.task import Rows\n"
        "def made():\n    wide = Rows(torch.randn(4, 7), torch.zeros(4, dtype=torch.long))\n"
        "    return linear(), [blobs('a', 1), replace(blobs('b', 2), train=wide)]\n"
    )
    (tmp_path / "wide.py").write_text(code)
    text = "name: a\nmodel: {source: function, call: 'wide:made'}\n"
    with pytest.raises(RecipeError, match=r"tasks\.b\.train: trying task 'b' on two train rows failed: RuntimeError: mat1 and mat2"):
        check(parse(text), text, str(tmp_path / "r.yaml"))


def test_joint_points_leave_out_corners() -> None:
    recipe = parse(DIGITS + "preview: {points: 21}\njoint: {points: 18}\n")
    found = joint_points(recipe, problem(3))
    assert found[0] == uniform(["t0", "t1", "t2"])
    assert not set(found) & set(corners(["t0", "t1", "t2"]))
    assert set(found[1:]) < {point for point in lattice(["t0", "t1", "t2"], 5) if point.corner is None}
    assert len(set(found)) == 18


def test_joint_points_leave_out_faces_where_heads_are_private() -> None:
    recipe = parse(DIGITS + "preview: {points: 21}\njoint: {points: 40}\n")
    assert all(min(point.values()) > 0 for point in joint_points(recipe, problem(3, private=True)))
    few = parse(DIGITS + "preview: {points: 3}\njoint: {points: 3}\n")
    assert len(joint_points(few, problem(3, private=True))) == 3  # a lattice of corners has no inside; a finer one is taken


def test_tasks_that_leave_the_same_parameters_alone_have_no_heads_of_their_own() -> None:
    made = problem(3)
    names = frozenset(list(parameters_of(made.model))[:2])
    assert not replace(made, tasks=tuple(replace(task, names=names) for task in made.tasks)).has_private_heads
    assert problem(3, private=True).has_private_heads


def test_a_finer_lattice_is_taken_where_many_joint_runs_are_asked_for() -> None:
    recipe = parse(DIGITS + "preview: {points: 3}\njoint: {points: 30}\n")
    assert len(joint_points(recipe, problem(3))) == 30
    assert len(joint_points(recipe, problem(3, private=True))) == 30


@pytest.mark.parametrize("count", [2, 3, 4])
def test_joint_points_are_as_many_as_asked_and_spread(count: int) -> None:
    recipe = parse(DIGITS + "preview: {points: 60}\njoint: {points: 5}\n")
    found = torch.tensor([list(point.values()) for point in joint_points(recipe, problem(count))])
    assert len(found) == 5
    assert float(torch.pdist(found).min()) > 0.1
    assert joint_points(parse(DIGITS + "joint: {points: 0}\n"), problem(count)) == []


@pytest.mark.parametrize("points", [2, 3, 10, 66])
@pytest.mark.parametrize("private", [False, True])
def test_the_grid_holds_uniform_corners_and_joint_points(points: int, private: bool) -> None:
    recipe, made = parse(DIGITS + f"preview: {{points: {points}}}\njoint: {{points: 4}}\n"), problem(3, private)
    found = grid(recipe, made)
    assert len(found) == len(set(found))
    assert {uniform(made.names), *corners(made.names), *joint_points(recipe, made)} <= set(found)
    assert len(found) <= max(points, 3) + 5


def test_lora_is_of_the_model_and_not_of_the_runs(session: Session) -> None:
    text = DIGITS + "finetune: {steps: 5, method: lora, r: 2, targets: all-linear}\n"
    other = replace(session, recipe=parse(text))
    assert other.training == replace(session.training, learning_rate=other.training.learning_rate, prior_precision=0.0, warmup=0.1)
    found = load(parse(text), text, "r.yaml")
    assert all(".lora_" in name for name in found.trained)
    assert not found.has_private_heads


def test_a_fault_of_lora_names_its_line() -> None:
    text = DIGITS + "finetune:\n  method: lora\n  targets: [query]\n"
    with pytest.raises(RecipeError, match=r"r\.yaml, line 5, finetune\.targets: 'query' is the name of no layer; .* \[0, 2, 4\]"):
        load(parse(text), text, "r.yaml")
    text = DIGITS + "finetune:\n  method: lora\n"
    with pytest.raises(RecipeError, match=r"r\.yaml, line 3, finetune\.targets: PEFT has no usual layers for a model of your own"):
        load(parse(text), text, "r.yaml")


def test_a_session_knows_its_trainings(session: Session) -> None:
    assert session.training.steps == session.joint_training.steps == 5
    other = replace(session, recipe=parse(DIGITS + "seed: 7\njoint: {steps: 9}\nfinetune: {batch_norm: freeze}\n"))
    assert (other.joint_training.steps, other.training.steps) == (9, 300)
    assert (other.training.seed, other.training.batch_norm) == (7, "freeze")


def test_a_headline_that_no_ensemble_has_is_refused_where_one_is_asked_for(tmp_path: Path) -> None:
    code = (
        "from dataclasses import replace\nfrom problems import blobs, linear\nfrom foretaste.task import ModelMetric\n"
        "def made():\n    judged = replace(blobs('b', 2), metrics=[ModelMetric('x')], judge=lambda model, names, most: {'x': 1.0})\n"
        "    return linear(), [blobs('a', 1), judged]\n"
    )
    (tmp_path / "judged.py").write_text(code)
    text = "name: a\nmodel: {source: function, call: 'judged:made'}\npreview:\n  methods: [simple]\n"
    assert check(parse(text), text, str(tmp_path / "r.yaml"))
    text = text.replace("[simple]", "[ensemble, simple]")
    said = r"r\.yaml, line 4, preview\.methods: metric 'x' of task 'b' is measured from a model itself, and an ensemble is not a model"
    with pytest.raises(RecipeError, match=said):
        check(parse(text), text, str(tmp_path / "r.yaml"))


@pytest.mark.parametrize("private", [False, True])
def test_twelve_tasks_are_previewed_inside_too(private: bool) -> None:
    """And the joint runs of private heads are listed at once, though no small lattice has points for them."""
    many = problem(12, private)
    recipe = parse(DIGITS + "joint: {points: 7}\n")
    points = grid(recipe, many)
    full = [weights for weights in points if min(weights.values()) > 0]
    assert set(corners(many.names)) <= set(points)
    assert 66 <= len(points) <= 66 + 7
    assert len(full) >= 54
    joint = joint_points(recipe, many)
    assert len(joint) == 7
    assert joint[0] == uniform(many.names)
    assert not private or min(share for weights in joint for share in weights.shares) > 0


WITHOUT_PEFT = """
import sys
sys.modules["peft"] = None  # as Python does for a package that cannot be imported
from foretaste.recipe import parse
from foretaste.loading import load
text = "{name: a, model: {source: digits}, finetune: {method: lora, targets: all-linear}}"
try:
    load(parse(text), text, "r.yaml")
except ValueError as error:
    print(error)
"""


def test_lora_without_peft_names_what_to_install() -> None:
    found = subprocess.run([sys.executable, "-c", WITHOUT_PEFT], capture_output=True, text=True, check=True)
    assert found.stdout.startswith(
        "r.yaml, line 1, finetune.method: finetuning by LoRA needs peft; install it with: pip install 'foretaste[lora]'"
    )
