"""Studies are opened from recipes, from memory and from folders; nothing is created before the input is accepted."""

from pathlib import Path

import pytest
import torch
from torch import nn

from foretaste.errors import RecipeError, StudyError, TaskError
from foretaste.study.opening import open_in_memory, open_recipe
from foretaste.work.context import Unwatched
from foretaste.workflow.reopen import reopen
from foretaste.workflow.session import Session
from in_memory import SMALL, disagreeing_tasks, network
from problems import digits_recipe

RECIPE = {"name": "small", "model": {"source": "digits"}, **SMALL}


def opened(session: Session) -> Session:
    session.study.close()
    return session


def test_a_mapping_has_the_words_of_a_file(tmp_path: Path) -> None:
    file = digits_recipe(tmp_path)
    by_file = opened(open_recipe(tmp_path / "file.study", file, {}, Unwatched()))
    assert by_file.recipe.name == "small digits"
    by_mapping = opened(open_recipe(tmp_path / "mapping.study", RECIPE, {}, Unwatched()))
    assert by_mapping.recipe.finetune.steps == 8
    assert by_mapping.origin is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"finetune": {"stepss": 3}}, r"^recipe, finetune.stepss: unknown field; did you mean steps\?"),
        ({"finetune": {"steps": object()}}, "a recipe is made of texts, numbers, lists and mappings"),
        ({"seed": "${SEED}"}, r"recipe, seed: \$\{SEED\} has no value"),
    ],
)
def test_faults_of_a_mapping_name_the_field(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        open_recipe(tmp_path / "a.study", {**RECIPE, **change}, {}, Unwatched())
    assert not (tmp_path / "a.study").exists()


def test_variables_have_values(tmp_path: Path) -> None:
    session = opened(open_recipe(tmp_path / "a.study", {**RECIPE, "seed": "${SEED}"}, {"SEED": "3"}, Unwatched()))
    assert session.recipe.seed == 3


def test_a_model_in_memory_is_what_the_stored_recipe_says(tmp_path: Path) -> None:
    tasks = disagreeing_tasks("left", "right")
    session = open_in_memory(tmp_path / "a.study", network(), tasks, SMALL, Unwatched())
    with session.study:
        stored = session.study.recipe()
    assert stored is not None
    assert "source: memory" in stored[0]
    assert stored[1]["name"] == "a"
    assert session.origin is None
    with pytest.raises(StudyError, match=r"is of a model in memory .* foretaste.Study\(.*, model=..., tasks="):
        reopen(tmp_path / "a.study", Unwatched())


def test_opening_leaves_every_module_in_its_mode(tmp_path: Path) -> None:
    model = network().train()
    model.get_submodule("1").eval()
    before = [module.training for module in model.modules()]
    opened(open_in_memory(tmp_path / "a.study", model, disagreeing_tasks("left", "right"), SMALL, Unwatched()))
    assert [module.training for module in model.modules()] == before


def test_one_task_is_too_few_and_nothing_is_created(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="1 tasks were given; weighting needs at least two"):
        open_in_memory(tmp_path / "a.study", network(), disagreeing_tasks("left"), SMALL, Unwatched())
    assert not (tmp_path / "a.study").exists()


def test_lora_of_a_model_in_memory_leaves_it_as_it_was(tmp_path: Path) -> None:
    model = network()
    before = [(name, parameter.requires_grad) for name, parameter in model.named_parameters()]
    params = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    parts = {
        **SMALL,
        "finetune": {
            "steps": 8,
            "batch_size": 8,
            "learning_rate": 0.01,
            "method": "lora",
            "r": 2,
            "targets": ["0", "2"],
        },
    }
    session = open_in_memory(tmp_path / "a.study", model, disagreeing_tasks("left", "right"), parts, Unwatched())
    session.study.close()
    assert [(name, parameter.requires_grad) for name, parameter in model.named_parameters()] == before
    assert list(model.state_dict()) == list(params)
    assert all(torch.equal(tensor, params[name]) for name, tensor in model.state_dict().items())
    assert all(".lora_" in name for name in session.problem.trained)


def test_another_model_of_the_same_shapes_is_another_question(tmp_path: Path) -> None:
    tasks = disagreeing_tasks("left", "right")
    session = open_in_memory(tmp_path / "a.study", network(), tasks, SMALL, Unwatched())
    with session.study:
        session.study.add("site", "key", {}, {}, None, 0.0)
    first, _, last = network().children()
    other = nn.Sequential(first, nn.ReLU(), last)
    with pytest.raises(StudyError, match=r"model.architecture: was 'Sequential \w+', is 'Sequential \w+'"):
        open_in_memory(tmp_path / "a.study", other, tasks, SMALL, Unwatched())


def test_a_study_that_exists_is_opened_by_its_folder(tmp_path: Path) -> None:
    opened(open_recipe(tmp_path / "a.study", RECIPE, {}, Unwatched()))
    assert opened(reopen(tmp_path / "a.study", Unwatched())).recipe.name == "small"
    with pytest.raises(StudyError, match="is not a study"):
        reopen(tmp_path / "b.study", Unwatched())
