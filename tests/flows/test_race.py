"""Cheaper previews, as a user makes them: raced, together, with parts frozen, by commands on tiny real models."""

import json
from pathlib import Path

import pytest

from checkpoints import Checkpoints, language_recipe, sentences, table, transformers_recipe, translations
from commands import foretaste, refused
from foretaste.store.study import StudyStore
from problems import digits_recipe


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory, checkpoints: Checkpoints) -> Path:
    """Two tasks of a tiny BERT whose embeddings stay as they are."""
    folder = tmp_path_factory.mktemp("texts")
    tasks = {
        name: (
            table(folder / f"{name}.jsonl", sentences(24, seed)),
            table(folder / f"{name}_validation.jsonl", sentences(160, seed + 10)),
        )
        for seed, name in enumerate(("movies", "books"))
    }
    recipe = transformers_recipe(folder / "tiny.yaml", checkpoints.bert, tasks)
    said = (
        recipe.read_text()
        .replace("finetune: {steps: 6", "finetune: {freeze: [embeddings], steps: 6")
        .replace("points: 3", "points: 9")
    )
    recipe.write_text(said)
    return recipe


def rows_of(*arguments: object) -> dict[str, dict[str, dict[str, float]]]:
    found = foretaste(*arguments)
    assert found.code == 0, found.err
    return {json.dumps(row["weights"]): row["metrics"] for row in json.loads(found.out)}


def test_a_race_ends_where_evaluating_everything_does(tmp_path: Path) -> None:
    recipe = digits_recipe(tmp_path, finetune_steps="30", preview_methods="[simple, diagonal]", preview_points="21")
    every = rows_of("preview", recipe, "--study", tmp_path / "every", "--method", "simple", "--json")
    command = ["preview", recipe, "--study", tmp_path / "raced", "--race", "--prefer", "worst"]
    data = foretaste(*command, "--json")
    assert data.code == 0, data.err
    simple, diagonal = json.loads(data.out)
    assert (simple["method"], diagonal["method"]) == ("simple", "diagonal")
    assert simple["reason"] == ""
    assert 0 < simple["evaluated"] < simple["whole"]
    assert len(simple["rows"]) + len(simple["dropped"]) == len(every)

    worst = {weights: min(found["accuracy"] for found in metrics.values()) for weights, metrics in every.items()}
    assert worst[json.dumps(simple["best"])] == max(worst.values())
    for row in simple["rows"]:
        for task, metrics in every[json.dumps(row["weights"])].items():
            assert row["metrics"][task] == pytest.approx(metrics, rel=1e-6)
    for one in simple["dropped"]:
        assert one["missing"] or 0 < one["low"] < one["behind"] < one["high"]

    shown = foretaste(*command, "--method", "simple")
    assert shown.code == 0, shown.err
    assert "Stopped early: almost certainly not the best" in shown.out
    found = json.loads(foretaste("show", tmp_path / "raced", "--json").out)
    assert {json.dumps(row["weights"]) for row in found["rows"]} >= {
        json.dumps(row["weights"]) for row in simple["rows"]
    }
    assert foretaste("report", tmp_path / "raced").code == 0


def test_what_is_frozen_is_in_no_run_and_no_site(texts: Path) -> None:
    study = texts.parent / "study"
    rows = rows_of("preview", texts, "--study", study, "--json", "--method", "diagonal")
    assert len({json.dumps(row) for row in rows.values()}) > 3
    with StudyStore.open(study) as opened:
        kept = [set(opened.tensors(done.artefact)) for kind in ("finetune", "site") for done in opened.all_work(kind)]
    assert len(kept) == 4
    assert all(names and not any(".embeddings." in name for name in names) for names in kept)
    assert all(any(".layer.0." in name for name in names) for names in kept)
    raced = foretaste("preview", texts, "--study", study, "--method", "diagonal", "--race", "--json")
    assert raced.code == 0, raced.err
    (race,) = json.loads(raced.out)
    assert len(race["rows"]) == len(rows)  # all are there already
    assert race["dropped"] == []
    assert (
        foretaste("export", texts, "--study", study, "--to", texts.parent / "model", "--method", "diagonal").code == 0
    )
    assert "another recipe" in refused("preview", written(texts, "[embeddings]", "[pooler]"), "--study", study)


def written(recipe: Path, old: str, new: str) -> Path:
    found = recipe.with_name("changed.yaml")
    assert old in recipe.read_text()
    found.write_text(recipe.read_text().replace(old, new))
    return found


def test_unknown_modules_are_refused_by_line(texts: Path) -> None:
    message = refused("check", written(texts, "[embeddings]", "[embedings]"))
    assert (
        "finetune.freeze: 'embedings' is the name of no module with parameters; there are bert, bert.embeddings"
        in message
    )
    assert "line " in message


def test_texts_as_the_headline_are_evaluated_in_full(tmp_path: Path, checkpoints: Checkpoints) -> None:
    tasks = {
        name: (table(tmp_path / f"{name}.jsonl", translations(8, seed, seed)),) * 2
        for seed, name in enumerate(("near", "far"), 1)
    }
    recipe = language_recipe(
        tmp_path / "tiny.yaml", checkpoints.t5, "seq2seq", tasks, "metrics: [bleu, perplexity]", "max_new_tokens: 8"
    )
    found = foretaste("preview", recipe, "--study", tmp_path / "study", "--method", "simple", "--race")
    assert found.code == 0, found.err
    assert "racing is not possible here: bleu of task 'near' is no mean over examples" in " ".join(found.out.split())
    mixed = language_recipe(
        tmp_path / "mixed.yaml", checkpoints.t5, "seq2seq", tasks, "metrics: [perplexity, bleu]", "max_new_tokens: 8"
    )
    found = foretaste("preview", mixed, "--study", tmp_path / "mixed", "--method", "simple", "--race", "--json")
    assert found.code == 0, found.err
    (race,) = json.loads(found.out)
    assert race["reason"] == ""
    assert all("bleu" in row["metrics"]["near"] for row in race["rows"])
