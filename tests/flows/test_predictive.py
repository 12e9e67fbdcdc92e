"""Previews by mixed predictions: of digits, of language models judged by texts, of private heads."""

import json
from pathlib import Path

import pytest

from checkpoints import Checkpoints, image_folder, language_recipe, parquet, table, transformers_recipe, translations
from commands import contents, foretaste, refused
from foretaste.store.study import StudyStore
from problems import digits_recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run with mixed predictions as the last method of the recipe, called by its former name."""
    folder = tmp_path_factory.mktemp("predictive")
    found = digits_recipe(folder, finetune_steps="8", preview_methods="[simple, ensemble]", joint_points="2")
    ran = foretaste("run", found, "--study", folder / "study", "--json")
    assert ran.code == 0, ran.err
    return found


def study_of(recipe: Path) -> list[object]:
    return ["--study", recipe.parent / "study"]


def test_a_recommendation_may_rest_on_them(recipe: Path) -> None:
    found = json.loads(foretaste("show", recipe.parent / "study", "--method", "predictive", "--json").out)
    assert found["method"] == "predictive"
    assert "previews (predictive)" in found["recommendation"]["basis"]
    assert {each["method"] for each in found["agreements"]} == {"simple", "predictive"}
    rows = [row for row in found["rows"] if row["method"] == "predictive"]
    assert {row["fidelity"] for row in rows} == {"preview"}
    assert len(rows) >= 10
    assert "predictions of the tasks' models" in found["costs"]
    assert foretaste("show", recipe.parent / "study").code == 0
    assert foretaste("report", recipe.parent / "study").code == 0


def test_any_weights_are_previewed_without_a_pass(recipe: Path) -> None:
    with StudyStore.open(recipe.parent / "study") as study:
        before = study.all_work("outputs")
    command = [
        "preview",
        recipe,
        *study_of(recipe),
        "--method",
        "predictive",
        "--weights",
        "low=0.17,mid=0.5,high=0.33",
    ]
    shown, data = foretaste(*command), foretaste(*command, "--json")
    assert (shown.code, data.code) == (0, 0), shown.err + data.err
    (row,) = json.loads(data.out)
    assert (row["method"], row["fidelity"], set(row["metrics"]["low"])) == (
        "predictive",
        "preview",
        {"loss", "accuracy"},
    )
    assert "predictive" in shown.out
    with StudyStore.open(recipe.parent / "study") as study:
        assert study.all_work("outputs") == before
        assert len(before) == 3


def test_they_are_compared_with_the_others(recipe: Path) -> None:
    found = foretaste(
        "compare", recipe, *study_of(recipe), "--method", "simple", "--method", "predictive", "--sharpen", 1, "--json"
    )
    assert found.code == 0, found.err
    assert [each["method"] for each in json.loads(found.out)["methods"]] == [
        "simple",
        "simple+1",
        "predictive",
        "pretrained+1",
    ]


def test_what_has_no_params_is_not_exported(recipe: Path, tmp_path: Path) -> None:
    """The recipe's last method has none, so that the one before it is what is exported if none is named."""
    message = refused("export", recipe, *study_of(recipe), "--to", tmp_path / "out", "--method", "predictive")
    assert "method predictive mixes the tasks' predictions and has no params to sharpen or export" in message
    assert "take another, such as simple, with --method, or a joint run" in message
    assert not (tmp_path / "out").exists()
    found = foretaste("export", recipe, *study_of(recipe), "--to", tmp_path / "out")
    assert (found.code, "wrote" in found.out, ": simple at" in found.out) == (0, True, True)


def test_texts_are_left_out_and_refused_as_the_headline(tmp_path: Path, checkpoints: Checkpoints) -> None:
    tasks = {
        name: (table(tmp_path / f"{name}.jsonl", translations(8, seed, seed)),) * 2
        for seed, name in enumerate(("near", "far"), 1)
    }

    def made(name: str, metrics: str) -> Path:
        return language_recipe(
            tmp_path / name, checkpoints.t5, "seq2seq", tasks, f"metrics: [{metrics}]", "max_new_tokens: 8"
        )

    study = ["--study", tmp_path / "study"]
    mixed = made("mixed.yaml", "token_accuracy, bleu, perplexity")
    found = foretaste("preview", mixed, *study, "--method", "predictive", "--weights", "uniform", "--json")
    assert found.code == 0, found.err
    (row,) = json.loads(found.out)
    assert list(row["metrics"]["near"]) == ["loss", "token_accuracy", "perplexity"]
    simple = json.loads(foretaste("preview", mixed, *study, "--method", "simple", "--weights", "near=1", "--json").out)[
        0
    ]
    corner = json.loads(
        foretaste("preview", mixed, *study, "--method", "predictive", "--weights", "near=1", "--json").out
    )[0]
    assert "bleu" in simple["metrics"]["near"]
    for task, metrics in corner["metrics"].items():
        assert metrics == pytest.approx({name: simple["metrics"][task][name] for name in metrics}, rel=1e-9)
    for method in ("simple", "predictive"):
        assert foretaste("show", tmp_path / "study", "--method", method).code == 0
        assert foretaste("report", tmp_path / "study", "--method", method).code == 0

    before = contents(tmp_path)
    texts = made("texts.yaml", "bleu, perplexity")
    message = refused("preview", texts, "--study", tmp_path / "other", "--method", "predictive")
    assert (
        "metric 'bleu' of task 'near' is of what a model writes, and mixed predictions come from no model: leave out"
        " the method predictive" in message
    )
    kept = contents(tmp_path)
    assert not [name for name in kept if name.startswith("other/tensors")]
    assert {name: kept[name] for name in before} == before


def test_a_trunk_is_heard_through_the_task_s_own_head(tmp_path: Path, checkpoints: Checkpoints) -> None:
    shades, signs = ["dark", "light"], ["hands", "signs", "words"]
    tasks = {
        "shades": (
            parquet(tmp_path / "train.parquet", 16, 1, shades),
            parquet(tmp_path / "validation.parquet", 8, 2, shades),
        ),
        "signs": (image_folder(tmp_path / "train", 18, 3, signs), image_folder(tmp_path / "validation", 9, 4, signs)),
    }
    recipe = transformers_recipe(tmp_path / "tiny.yaml", checkpoints.vit, tasks, kind="image")
    corners = ["--weights", "shades=1", "--weights", "signs=1", "--study", tmp_path / "study", "--json"]
    simple, found = (
        json.loads(foretaste("preview", recipe, "--method", method, *corners).out)
        for method in ("simple", "predictive")
    )
    for one, other in zip(simple, found, strict=True):
        assert all(
            metrics == pytest.approx(one["metrics"][task], rel=1e-6) for task, metrics in other["metrics"].items()
        )
