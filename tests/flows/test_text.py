"""A tiny BERT, two tasks with the same labels, from JSON lines and CSV: the whole way to a recommendation."""

import json
import sqlite3
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
import transformers

from checkpoints import Checkpoints, sentences, table, transformers_recipe
from commands import Ran, foretaste
from foretaste.evaluate import evaluate
from foretaste.loading import load
from foretaste.recipe import read
from foretaste.store.study import StudyStore


class _Loads(HTMLParser):
    """What a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action") and value and not value.startswith(("#", "data:")):
                self.found.append(value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, checkpoints: Checkpoints) -> Path:
    """A recipe with relative paths beside its data."""
    folder = tmp_path_factory.mktemp("text")
    for name, ending, seed in (("movies", "jsonl", 1), ("books", "csv", 2)):
        table(folder / f"{name}.{ending}", sentences(24, seed))
        table(folder / f"{name}_validation.{ending}", sentences(12, seed + 10))
    tasks = {
        "movies": (Path("movies.jsonl"), Path("movies_validation.jsonl")),
        "books": (Path("books.csv"), Path("books_validation.csv")),
    }
    transformers_recipe(folder / "tiny.yaml", checkpoints.bert, tasks)
    return folder


@pytest.fixture(scope="module")
def ran(folder: Path) -> Ran:
    found = foretaste("run", folder / "tiny.yaml", "--study", folder / "study", "--json")
    assert found.code == 0, found.err
    return found


def rows(study: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(study / "study.db")
    found = [
        row
        for table in ("recipes", "artefacts", "work", "evaluations")
        for row in connection.execute(f"SELECT * FROM {table}")  # noqa: S608
    ]
    connection.close()
    return found


def test_training_rows_that_are_validation_rows_are_warned_of(folder: Path, tmp_path: Path) -> None:
    recipe = folder / "alike.yaml"
    recipe.write_text((folder / "tiny.yaml").read_text().replace("books.csv", "books_validation.csv"))
    said = "training rows of task 'books' are in its validation data too: its metrics look better than they are"
    checked = foretaste("check", recipe)
    assert checked.code == 0, checked.err
    assert said in checked.out
    assert said in " ".join(json.loads(foretaste("check", recipe, "--json").out)["warnings"])
    assert said in foretaste("fit", recipe, "--study", tmp_path / "study").err


def test_the_recommendation_is_on_the_simplex_and_confirmed(ran: Ran) -> None:
    found = json.loads(ran.out)
    weights = found["recommendation"]["weights"]
    assert set(weights) == {"movies", "books"}
    assert min(weights.values()) >= 0
    assert sum(weights.values()) == pytest.approx(1)
    assert any(row["weights"] == weights and row["fidelity"] == "joint" for row in found["rows"])


def test_show_and_report(ran: Ran, folder: Path) -> None:
    shown = foretaste("show", folder / "study", "--json")
    assert json.loads(shown.out)["recommendation"] == json.loads(ran.out)["recommendation"]
    other = json.loads(
        foretaste(
            "show", folder / "study", "--prefer", "books=1", "--floor", "movies>=0", "--method", "simple", "--json"
        ).out
    )
    assert other["method"] == "simple"
    out = folder / "page.html"
    assert json.loads(foretaste("report", folder / "study", "--out", out, "--json").out) == {"report": str(out)}
    for page in (out, Path(json.loads(ran.out)["report"])):
        reader = _Loads()
        reader.feed(page.read_text())
        assert reader.found == []
        assert "movies" in page.read_text()


def test_heads_are_shared_and_files_agree(folder: Path, ran: Ran) -> None:
    plan, text = read(folder / "tiny.yaml")
    problem = load(plan, text, str(folder / "tiny.yaml"))
    assert [task.classes for task in problem.tasks] == [("bad", "good")] * 2
    assert all(task.names is None for task in problem.tasks)
    assert len(problem.tasks[1].train) == 24


def test_a_corner_preview_is_the_single_task_model(folder: Path, ran: Ran) -> None:
    """Its row is that of the params that training the task gave, up to rounding, since small models are stacked."""
    fitted = json.loads(foretaste("fit", folder / "tiny.yaml", "--study", folder / "study", "--json").out)
    plan, text = read(folder / "tiny.yaml")
    problem = load(plan, text, str(folder / "tiny.yaml"))
    with StudyStore.open(folder / "study") as study:
        for task in ("movies", "books"):
            params = study.tensors(fitted[task]["params"])
            expected = {name: result.metrics for name, result in evaluate(problem.model, params, problem.tasks).items()}
            shown = foretaste(
                "preview", folder / "tiny.yaml", "--weights", f"{task}=1", "--study", folder / "study", "--json"
            )
            for row in json.loads(shown.out):
                assert all(
                    found == pytest.approx(dict(expected[name]), rel=1e-6) for name, found in row["metrics"].items()
                )
    assert fitted["movies"]["params"] != fitted["books"]["params"]


def test_nothing_is_done_twice(folder: Path, ran: Ran) -> None:
    before = rows(folder / "study")
    again = foretaste("run", folder / "tiny.yaml", "--study", folder / "study", "--json")
    assert json.loads(again.out)["recommendation"] == json.loads(ran.out)["recommendation"]
    assert rows(folder / "study") == before


def test_preview_and_confirm_at_any_weights(folder: Path, ran: Ran) -> None:
    options = ["--weights", "movies=0.3,books=0.7", "--weights", "uniform", "--study", folder / "study", "--json"]
    previewed = json.loads(foretaste("preview", folder / "tiny.yaml", "--method", "diagonal", *options).out)
    assert [row["weights"] for row in previewed] == [{"movies": 0.3, "books": 0.7}, {"movies": 0.5, "books": 0.5}]
    assert {row["method"] for row in previewed} == {"diagonal"}
    confirmed = json.loads(foretaste("confirm", folder / "tiny.yaml", *options).out)
    joint = [row for row in confirmed if row["fidelity"] == "joint"]
    assert [row["weights"] for row in joint] == [row["weights"] for row in previewed]
    assert all(0 <= row["metrics"]["movies"]["accuracy"] <= 1 for row in joint)


def test_an_exported_model_does_what_its_row_says_without_this_library(folder: Path, ran: Ran, tmp_path: Path) -> None:
    for options in ([], ["--joint"]):
        out = tmp_path / f"model{len(options)}"
        found = foretaste(
            "export",
            folder / "tiny.yaml",
            "--study",
            folder / "study",
            "--to",
            out,
            "--weights",
            "uniform",
            *options,
            "--json",
        )
        assert found.code == 0, found.err
        method = json.loads(found.out)["method"]
        shown = json.loads(ran.out)["rows"]
        row = next(each for each in shown if each["method"] == method and set(each["weights"].values()) == {0.5})
        tokenizer = transformers.AutoTokenizer.from_pretrained(out)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(out)
        rows = [json.loads(line) for line in (folder / "movies_validation.jsonl").read_text().splitlines()]
        batch = tokenizer([each["text"] for each in rows], return_tensors="pt", padding=True)
        with torch.no_grad():
            guessed = model(**batch).logits.argmax(1).tolist()
        right = [model.config.id2label[guess] == each["label"] for guess, each in zip(guessed, rows, strict=True)]
        assert row["metrics"]["movies"]["accuracy"] == pytest.approx(sum(right) / len(right))


def test_the_user_s_data_is_watched(folder: Path, ran: Ran, tmp_path: Path) -> None:
    """Another row of data is another study."""
    for file in folder.glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with (tmp_path / "books.csv").open("a") as handle:
        handle.write("the fine book,good\n")
    found = foretaste("run", tmp_path / "tiny.yaml", "--study", folder / "study")
    assert found.code == 2
    assert "data.books: was " in found.err
    assert "data.movies" not in found.err
