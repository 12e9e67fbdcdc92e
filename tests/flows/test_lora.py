"""A tiny BERT and two tasks with heads of their own, by LoRA: the whole way to adapters that PEFT loads."""

import json
from pathlib import Path

import peft
import pytest
import torch
import transformers

from checkpoints import Checkpoints, sentences, table, transformers_recipe
from commands import Ran, foretaste, refused
from foretaste.evaluate import evaluate
from foretaste.loading import load
from foretaste.params import parameters_of
from foretaste.recipe import read
from foretaste.sources.problem import Problem
from foretaste.store.study import StudyStore

pytestmark = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)  # peft asks transformers
LORA = "finetune: {steps: 6, batch_size: 4, learning_rate: 0.02, method: lora, r: 2"


@pytest.fixture(scope="module", params=["auto", "private"])
def folder(tmp_path_factory: pytest.TempPathFactory, checkpoints: Checkpoints, request: pytest.FixtureRequest) -> Path:
    """A recipe beside its data, with one head for both tasks or one each."""
    folder = tmp_path_factory.mktemp("lora")
    tasks = {}
    for seed, name in enumerate(("movies", "books")):
        parts = (f"{name}.jsonl", 24, seed), (f"{name}_validation.jsonl", 12, seed + 10)
        tasks[name] = (
            table(folder / parts[0][0], sentences(24, seed)),
            table(folder / parts[1][0], sentences(12, seed + 10)),
        )
    recipe = transformers_recipe(folder / "tiny.yaml", checkpoints.bert, tasks, head=request.param)
    changed = recipe.read_text().replace("finetune: {steps: 6, batch_size: 4, learning_rate: 0.01", LORA)
    assert LORA in changed
    recipe.write_text(changed)
    return folder


@pytest.fixture(scope="module")
def ran(folder: Path) -> Ran:
    found = foretaste("run", folder / "tiny.yaml", "--study", folder / "study", "--json")
    assert found.code == 0, found.err
    return found


def loaded(folder: Path) -> Problem:
    plan, text = read(folder / "tiny.yaml")
    return load(plan, text, str(folder / "tiny.yaml"))


def test_previews_differ_and_joint_runs_confirm(folder: Path, ran: Ran) -> None:
    rows = json.loads(ran.out)["rows"]
    losses = {
        tuple(row["weights"].values()): row["metrics"]["movies"]["loss"] for row in rows if row["method"] == "anchored"
    }
    assert len(losses) > 2
    assert len(set(losses.values())) == len(losses)
    assert [row for row in rows if row["fidelity"] == "joint"]
    assert json.loads(ran.out)["recommendation"]


def test_no_artefact_holds_the_frozen_base(folder: Path, ran: Ran) -> None:
    problem = loaded(folder)
    frozen = set(parameters_of(problem.model)) - problem.trained
    count = 0
    with StudyStore.open(folder / "study") as study:
        for done in (*study.all_work("finetune"), *study.all_work("joint")):
            assert not set(study.tensors(done.artefact)) & frozen
            count += 1
    assert count > 2


def test_nothing_is_done_twice(folder: Path, ran: Ran) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "study").rglob("*.safetensors")}
    again = foretaste("run", folder / "tiny.yaml", "--study", folder / "study", "--json")
    assert json.loads(again.out)["recommendation"] == json.loads(ran.out)["recommendation"]
    assert {path: path.stat().st_mtime_ns for path in (folder / "study").rglob("*.safetensors")} == before


def test_a_corner_preview_is_the_single_task_model(folder: Path, ran: Ran) -> None:
    fitted = json.loads(foretaste("fit", folder / "tiny.yaml", "--study", folder / "study", "--json").out)
    problem = loaded(folder)
    with StudyStore.open(folder / "study") as study:
        for task in problem.tasks:
            params = study.tensors(fitted[task.name]["params"])
            expected = evaluate(problem.model, params, [task])[task.name].metrics
            shown = foretaste(
                "preview", folder / "tiny.yaml", "--weights", f"{task.name}=1", "--study", folder / "study", "--json"
            )
            for row in json.loads(shown.out):
                assert row["metrics"][task.name] == pytest.approx(dict(expected), rel=1e-6)


@pytest.mark.parametrize(
    "options", [["--method", "simple"], ["--rank", "64"], ["--joint"]], ids=["sum", "preview", "joint"]
)
def test_peft_loads_what_is_exported(
    folder: Path, ran: Ran, tmp_path: Path, checkpoints: Checkpoints, options: list[str]
) -> None:
    out = tmp_path / "out"
    where = ["--study", folder / "study", "--to", out, "--weights", "uniform"]
    found = foretaste("export", folder / "tiny.yaml", *where, *options, "--json")
    assert found.code == 0, found.err
    method = json.loads(found.out)["method"]
    row = next(
        each
        for each in json.loads(ran.out)["rows"]
        if each["method"] == method and set(each["weights"].values()) == {0.5}
    )
    own = out if (out / "adapter_config.json").is_file() else out / "movies"
    model = peft.AutoPeftModelForSequenceClassification.from_pretrained(own).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(own)
    rows = [json.loads(line) for line in (folder / "movies_validation.jsonl").read_text().splitlines()]
    batch = tokenizer([each["text"] for each in rows], return_tensors="pt", padding=True)
    labels = torch.tensor([["bad", "good"].index(each["label"]) for each in rows])
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(model(**batch).logits, labels)
    assert row["metrics"]["movies"]["loss"] == pytest.approx(float(loss), rel=1e-4)


def test_what_a_smaller_adapter_loses_is_printed(folder: Path, ran: Ran, tmp_path: Path) -> None:
    where = ["--study", folder / "study", "--weights", "uniform", "--method"]
    losses: list[bool] = []
    for method, more in (("simple", []), ("simple", ["--rank", 1]), ("diagonal", [])):
        found = foretaste("export", folder / "tiny.yaml", *where, method, *more, "--to", tmp_path / f"out{len(losses)}")
        assert found.code == 0, found.err
        losses.append("relative error" in found.out)
    assert losses == [False, True, True]
    for method in ("factors", "joint"):
        options = ["--joint"] if method == "joint" else ["--method", method]
        said = refused("export", folder / "tiny.yaml", *where[:-1], *options, "--to", tmp_path / "x", "--rank", 2)
        assert f"what {method} writes has the recipe's rank" in said


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "targets: [quer]",
            "finetune.targets: 'quer' is the name of no layer; name layers under finetune.targets, for example [query",
        ),
        ("dropout: 2", "finetune.dropout: Input should be less than 1"),
    ],
)
def test_a_field_that_is_wrong_is_named(folder: Path, tmp_path: Path, said: str, message: str) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text((folder / "tiny.yaml").read_text().replace("r: 2", f"r: 2, {said}"))
    found = foretaste("check", recipe)
    assert found.code == 2
    assert message in " ".join(found.err.split())


def test_another_scaling_is_another_study(folder: Path, ran: Ran, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text((folder / "tiny.yaml").read_text().replace("r: 2", "r: 2, alpha: 8"))
    found = foretaste("run", recipe, "--study", folder / "study")
    assert found.code == 2
    assert "finetune.alpha: was 4.0, is 8.0" in found.err
