"""Whether models can be merged, as a user asks before any surface."""

import json
from pathlib import Path

import pytest

from checkpoints import Checkpoints, image_folder, parquet, transformers_recipe
from commands import foretaste, refused
from foretaste.store.study import StudyStore
from problems import digits_recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_recipe(tmp_path_factory.mktemp("mergeability"), finetune_steps="100")


def asked(recipe: Path, *more: object) -> list[object]:
    return ["mergeability", recipe, "--study", recipe.parent / "study", *more]


def test_a_line_for_each_two_tasks_and_what_to_do(recipe: Path) -> None:
    shown, data = foretaste(*asked(recipe)), foretaste(*asked(recipe, "--json"))
    assert (shown.code, data.code) == (0, 0), shown.err + data.err
    found, words = json.loads(data.out), " ".join(shown.out.split())
    assert [each["tasks"] for each in found["pairs"]] == [["low", "mid"], ["low", "high"], ["mid", "high"]]
    assert {each["verdict"] for each in found["pairs"]} == {"loses"}  # digits interfere
    assert all(each["barrier"] == 0.0 and len(each["losses"]) == 5 for each in found["pairs"])
    assert found["corners"] == [{"method": "simple", "off": {"low": 0.0, "mid": 0.0, "high": 0.0}, "exact": True}]
    for pair in ("low, mid", "low, high", "mid, high"):
        assert f"{pair}: averaging loses. Halfway" in words
    assert "At the corners, previews by simple are the single-task models" in words
    assert "Where averaging loses" in words
    assert "Rules of thumb" in words
    assert shown.out.splitlines()[-1] == f"next: foretaste run {recipe} --study {recipe.parent / 'study'}"


def test_nothing_is_trained_but_the_tasks_models(recipe: Path) -> None:
    assert foretaste(*asked(recipe)).code == 0
    with StudyStore.open(recipe.parent / "study") as study:
        kinds = [done.kind for done in study.all_work()]
    assert {kind: kinds.count(kind) for kind in kinds} == {"finetune": 3, "site": 3, "evaluation": 12, "alone": 3}


def test_corners_of_methods_that_are_asked_for(recipe: Path, tmp_path: Path) -> None:
    other = digits_recipe(tmp_path, finetune_steps="5", ensemble_members="2")
    command = ["mergeability", other, "--study", tmp_path / "study", "--method", "predictive", "--method", "mixture"]
    shown, data = foretaste(*command), foretaste(*command, "--json")
    assert (shown.code, data.code) == (0, 0), shown.err + data.err
    assert [(each["method"], each["exact"]) for each in json.loads(data.out)["corners"]] == [
        ("simple", True),
        ("predictive", True),
        ("mixture", False),
    ]
    assert "previews by mixture are not the first single-task models" in " ".join(shown.out.split())


def test_training_that_went_too_far_is_told(tmp_path: Path) -> None:
    recipe = digits_recipe(tmp_path, finetune_steps="150", finetune_learning_rate="0.1", finetune_prior_precision="0.0")
    shown = foretaste("mergeability", recipe, "--study", tmp_path / "study")
    assert shown.code == 0, shown.err
    words = " ".join(shown.out.split())
    assert "averaging fails" in words
    assert "lower its learning rate (finetune.learning_rate)" in words


def test_the_report_has_it_in_a_sentence(tmp_path: Path) -> None:
    recipe = digits_recipe(
        tmp_path, finetune_steps="5", preview_points="6", preview_methods="[simple]", joint_points="1"
    )
    ran = json.loads(foretaste("run", recipe, "--study", tmp_path / "study", "--json").out)
    assert "Worst pair: halfway between " in Path(ran["report"]).read_text()


def test_tasks_with_heads_of_their_own(tmp_path: Path, checkpoints: Checkpoints) -> None:
    shades, signs = ["dark", "light"], ["hands", "signs", "words"]
    tasks = {
        "shades": (
            parquet(tmp_path / "train.parquet", 16, 1, shades),
            parquet(tmp_path / "validation.parquet", 8, 2, shades),
        ),
        "signs": (image_folder(tmp_path / "train", 18, 3, signs), image_folder(tmp_path / "validation", 9, 4, signs)),
    }
    recipe = transformers_recipe(tmp_path / "tiny.yaml", checkpoints.vit, tasks, kind="image")
    found = foretaste("mergeability", recipe, "--study", tmp_path / "study", "--json")
    assert found.code == 0, found.err
    (pair,) = json.loads(found.out)["pairs"]
    assert pair["tasks"] == ["shades", "signs"]
    assert json.loads(found.out)["corners"][0]["exact"]


def test_a_recipe_that_is_none(tmp_path: Path) -> None:
    assert "cannot read the recipe" in refused("mergeability", tmp_path / "gone.yaml")
