"""What cannot be used is refused with exit code 2 and one clear message, and nothing is written."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from checkpoints import Checkpoints, image_folder, parquet, sentences, table, transformers_recipe
from commands import ENVIRONMENT, contents, foretaste, refused
from problems import digits_recipe

DIGITS = "name: a\nmodel: {source: digits}\n"


def never_written(folder: Path, recipe: Path, *options: str, command: str = "run") -> str:
    """The message of a command that must be refused before there is a study."""
    before = contents(folder)
    message = refused(command, recipe, "--study", folder / "study", *options)
    assert contents(folder) == before
    assert not (folder / "study").exists()
    return message


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return table(tmp_path / "good.jsonl", sentences(8, 1))


# weights, methods, floors, preferences


@pytest.mark.parametrize("command", ["preview", "confirm"])
@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("low=0.5,medium=0.5", "unknown task 'medium' in weights 'low=0.5,medium=0.5'; the tasks are low, mid, high"),
        ("low=-0.5,mid=1.5", "weight of task 'low' is -0.5; it must be a finite number of at least 0"),
        ("low=0.5,mid=0.2", "sum to 0.7, not 1; divide each by 0.7"),
        ("low=nan,mid=0.5", "weight of task 'low' is nan; it must be a finite number"),
        ("low=half,mid=0.5", "weight of task 'low' in 'low=half,mid=0.5' is 'half'; write a number"),
        ("low=0.5,low=0.5", "task 'low' is given twice"),
    ],
)
def test_weights(tmp_path: Path, command: str, weights: str, words: str) -> None:
    assert words in never_written(tmp_path, digits_recipe(tmp_path), "--weights", weights, command=command)


def test_an_unknown_method(tmp_path: Path) -> None:
    found = foretaste("preview", digits_recipe(tmp_path), "--method", "kfac", "--study", tmp_path / "study")
    assert found.code == 2
    assert all(word in found.err for word in ("--method", "'kfac'", "simple", "diagonal"))
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        ("floors: ['low>0.9']", "recommend.floors: floor 'low>0.9' is not understood; write low>=0.85 or all>=97%"),
        ("floors: ['lowest>=0.9']", "with tasks among low, mid, high"),
        ("floors: ['all>=much']", "floor 'all>=much' is not understood"),
        (
            "prefer: best",
            (
                "recommend.prefer: preference 'best' is not understood; write mean, worst, knee, or for example"
                " low=2,high=1"
            ),
        ),
        ("prefer: lowest=1", "for tasks among low, mid, high"),
    ],
)
def test_floors_and_preferences_in_a_recipe(tmp_path: Path, goal: str, words: str) -> None:
    recipe = written(tmp_path / "r.yaml", f"{DIGITS}recommend:\n  {goal}\n")
    message = never_written(tmp_path, recipe)
    assert words in message
    assert f"{recipe}, line 4" in message


# recipes


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (DIGITS + "finetune:\n  stepz: 3\n", "line 4, finetune.stepz: unknown field; did you mean steps?"),
        (DIGITS + "finetune:\n  steps: many\n", "line 4, finetune.steps: Input should be a valid integer"),
        (
            DIGITS + "finetune: {learning_rate: .inf}\n",
            "line 3, finetune.learning_rate: Input should be a finite number; found inf",
        ),
        ("name: [a\nmodel: {source: digits}\n", "line 2: not valid YAML: "),
        (
            "name: a\nmodel:\n  source: ${NOWHERE_AT_ALL}\n",
            "line 3, model.source: ${NOWHERE_AT_ALL} has no value; give --var NOWHERE_AT_ALL=",
        ),
        ("", "is empty or not a mapping; `foretaste init` writes one"),
        (DIGITS + "seed: 1\nseed: 2\n", "line 4: 'seed' is already there in line 3"),
        ("name: a\nmodel: {source: magic}\n", "line 2, model: "),
    ],
)
def test_recipes(tmp_path: Path, content: str, words: str) -> None:
    message = never_written(tmp_path, written(tmp_path / "r.yaml", content))
    assert words in message
    assert str(tmp_path / "r.yaml") in message


def test_two_tasks_with_one_name(tmp_path: Path, checkpoints: Checkpoints, good: Path) -> None:
    recipe = transformers_recipe(tmp_path / "r.yaml", checkpoints.bert, {"a": (good, good), "b": (good, good)})
    recipe.write_text(recipe.read_text().replace("  b:", "  a:"))
    assert "r.yaml, line 9: 'a' is already there in line 5; give it another name" in never_written(tmp_path, recipe)


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    message = refused("run", tmp_path / "gone.yaml", "--study", tmp_path / "study")
    assert "cannot read the recipe" in message
    assert "`foretaste init` writes one" in message
    assert refused("check", tmp_path).count("cannot read the recipe") == 1


def test_init_does_not_replace_a_file(tmp_path: Path) -> None:
    mine = written(tmp_path / "mine.yaml", "my work")
    assert "exists; name another file or give --force" in refused("init", mine)
    assert mine.read_text() == "my work"
    assert "could not write" in refused("init", tmp_path / "no" / "folder.yaml")


# data


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.jsonl", None, "gone.jsonl does not exist; relative paths start at the recipe's folder"),
        ("empty.jsonl", b"", "empty.jsonl is empty"),
        ("header.csv", b"text,label\n", "header.csv has no rows"),
        ("garbage.jsonl", b"\x00\xff\x01 nothing", "garbage.jsonl cannot be read as data: "),
        ("garbage.parquet", b"\x00\xff\x01 nothing", "garbage.parquet cannot be read as data: "),
        ("notes.txt", b"text", "its ending is not one of .jsonl, .json, .csv, .tsv, .parquet"),
        ("other.jsonl", b'{"body": "a", "label": "good"}\n', "has no column 'text'; it has body, label"),
        ("unlabelled.jsonl", b'{"text": "a"}\n', "has no column 'label'; it has text"),
        ("hole.jsonl", b'{"text": "a", "label": "good"}\n{"text": null, "label": "bad"}\n', "row 2 of "),
        (
            "secret.jsonl",
            b'{"text": "a", "label": "good"}\n{"text": "b", "label": null}\n',
            "has no value in column 'label'; fill or remove",
        ),
        ("share.jsonl", b'{"text": "a", "label": 0.5}\n', "label 0.5 in row 1 of "),
        (
            "number.jsonl",
            b'{"text": 3, "label": "good"}\n{"text": 4, "label": "bad"}\n',
            "has int in column 'text' where a text is expected",
        ),
    ],
)
def test_data_files(
    tmp_path: Path, checkpoints: Checkpoints, good: Path, name: str, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    recipe = transformers_recipe(
        tmp_path / "r.yaml", checkpoints.bert, {"movies": (tmp_path / name, good), "books": (good, good)}
    )
    message = never_written(tmp_path, recipe)
    assert words in message
    assert f"{recipe}, line 6, tasks.movies.train: " in message


def test_a_label_outside_the_set(tmp_path: Path, checkpoints: Checkpoints, good: Path) -> None:
    strange = table(tmp_path / "strange.jsonl", [*sentences(4, 2), {"text": "the film", "label": "meh"}])
    recipe = transformers_recipe(
        tmp_path / "r.yaml", checkpoints.bert, {"movies": (good, strange), "books": (good, good)}
    )
    message = never_written(tmp_path, recipe)
    assert (
        f"{recipe}, line 7, tasks.movies.validation: label 'meh' in row 5 of {strange} is not one of: bad, good;"
        " correct" in message
    )


@pytest.mark.parametrize("column", ["text", "image"])
def test_images_and_texts_in_each_others_place(
    tmp_path: Path, checkpoints: Checkpoints, good: Path, column: str
) -> None:
    images = parquet(tmp_path / "images.parquet", 4, 1, ["dark", "light"])
    kind, data, found = ("image", good, "str") if column == "text" else ("text", images, "PngImageFile")
    model = checkpoints.vit if kind == "image" else checkpoints.bert
    recipe = transformers_recipe(
        tmp_path / "r.yaml", model, {"a": (data, data), "b": (data, data)}, kind=kind, column=column
    )
    assert (
        f"has {found} in column {column!r} where a{'n' * (kind == 'image')} {kind} is expected; name a"
        in never_written(tmp_path, recipe)
    )


def test_an_image_that_cannot_be_decoded(tmp_path: Path, checkpoints: Checkpoints) -> None:
    images = image_folder(tmp_path / "images", 6, 1, ["dark", "light"])
    (images / "dark" / "0.png").write_bytes(b"not a picture")
    recipe = transformers_recipe(
        tmp_path / "r.yaml", checkpoints.vit, {"a": (images, images), "b": (images, images)}, kind="image"
    )
    message = never_written(tmp_path, recipe)
    assert f"tasks.a.train: column 'image' of {images} cannot be decoded: UnidentifiedImageError" in message


# checkpoints


def _nan(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["bert.pooler.dense.bias"][3] = torch.nan
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _shard_missing(folder: Path) -> None:
    with safe_open(folder / "model.safetensors", framework="pt") as handle:
        names = list(handle.keys())
    named = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": named}))
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")


def _index_damaged(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text('{"weight_map": ')


def _tensor_missing(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["bert.encoder.layer.0.output.dense.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _configuration_changed(folder: Path) -> None:
    plain = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(plain | {"intermediate_size": 24}))


def _config_missing(folder: Path) -> None:
    (folder / "config.json").unlink()


def _tokenizer_damaged(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_nan, ["NaN or infinity in bert.pooler.dense.bias", "checkpoint is damaged"]),
        (_pickle, ["pytorch_model.bin is a pickle", "can run code", "is refused", "save_pretrained(NEW_FOLDER)"]),
        (_truncated, ["model.safetensors is truncated or damaged", "copy or download it again"]),
        (_shard_missing, ["lacks the shards model-00002-of-00002.safetensors", "copy them too"]),
        (_index_damaged, ["model.safetensors.index.json is damaged", "copy or download it again"]),
        (_tensor_missing, ["does not fit its own config.json", "bert.encoder.layer.0.output.dense.weight is missing"]),
        (
            _configuration_changed,
            ["shape of bert.encoder.layer.0.output.dense.weight is [16, 16], its configuration says [16, 24]"],
        ),
        (_config_missing, ["has no config.json", "name a folder that save_pretrained made"]),
        (_tokenizer_damaged, ["has no tokenizer that can be loaded"]),
    ],
)
def test_checkpoints(
    tmp_path: Path, checkpoints: Checkpoints, good: Path, damage: Callable[[Path], None], words: list[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(checkpoints.bert, broken)
    damage(broken)
    recipe = transformers_recipe(tmp_path / "r.yaml", broken, {"a": (good, good), "b": (good, good)})
    message = never_written(tmp_path, recipe)
    for word in words:
        assert word in message
    if damage is not _nan:
        assert f"{recipe}, line 3, model.path: " in message


def test_a_model_of_another_kind(tmp_path: Path, checkpoints: Checkpoints, good: Path) -> None:
    recipe = transformers_recipe(tmp_path / "r.yaml", checkpoints.vit, {"a": (good, good), "b": (good, good)})
    assert "cannot be loaded for text-classification" in never_written(tmp_path, recipe)


# studies and disks


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe and its study, fitted."""
    folder = tmp_path_factory.mktemp("made")
    assert foretaste("fit", digits_recipe(folder, finetune_steps="2"), "--study", folder / "study").code == 0
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "made")
    return tmp_path / "made"


def test_a_study_of_another_recipe(copied: Path) -> None:
    recipe = digits_recipe(copied, finetune_steps="2", finetune_learning_rate="0.01", curvature_labels="sampled")
    before = contents(copied)
    message = refused("run", recipe, "--study", copied / "study")
    assert "was made by another recipe, model or data" in message
    assert "finetune.learning_rate: was 0.003, is 0.01" in message
    assert "curvature.labels: was 'exact', is 'sampled'" in message
    assert "steps" not in message
    assert "name another folder with --study, or undo the change" in message
    assert contents(copied) == before


def test_a_study_of_a_newer_schema(copied: Path) -> None:
    connection = sqlite3.connect(copied / "study" / "study.db")
    connection.execute("UPDATE study SET schema = 99, version = '9.0'")
    connection.commit()
    connection.close()
    before = contents(copied)
    for arguments in (["run", copied / "small.yaml", "--study", copied / "study"], ["show", copied / "study"]):
        message = refused(*arguments)
        assert "was made by foretaste 9.0 (schema 99); this version reads schema 2: upgrade foretaste" in message
        assert contents(copied) == before


def test_a_folder_that_is_no_study(tmp_path: Path) -> None:
    recipe = digits_recipe(tmp_path)
    before = contents(tmp_path)
    assert "is not a study (it has no study.db); name the folder that `foretaste run` made" in refused("show", tmp_path)
    assert "holds files that are not a study; name another folder with --study" in refused(
        "run", recipe, "--study", tmp_path
    )
    assert contents(tmp_path) == before
    written(tmp_path / "study.db", "not a database" * 100)
    assert "is not a study's database" in refused("show", tmp_path)


def test_a_study_without_a_recipe_or_the_method_that_is_asked_for(copied: Path, tmp_path: Path) -> None:
    connection = sqlite3.connect(copied / "study" / "study.db")
    connection.execute("DELETE FROM recipes")
    connection.commit()
    connection.close()
    assert "is empty; run `foretaste run RECIPE --study" in refused("show", copied / "study")
    recipe = digits_recipe(tmp_path, finetune_steps="2", preview_methods="[simple]")
    assert foretaste("preview", recipe, "--weights", "uniform", "--study", tmp_path / "s").code == 0
    assert "has no previews by 'diagonal'; it has simple" in refused("show", tmp_path / "s", "--method", "diagonal")
    assert "floor 'low' is not understood" in refused("show", tmp_path / "s", "--floor", "low")
    assert "preference 'low' is not understood" in refused("report", tmp_path / "s", "--prefer", "low")
    assert "Too few results to recommend weights" in foretaste("show", tmp_path / "s", "--floor", "all>=97%").out
    more = [
        word
        for share in (0.2, 0.4, 0.5)
        for word in ("--weights", f"low={share},mid={share / 2},high={1 - 1.5 * share}")
    ]
    assert foretaste("preview", recipe, *more, "--study", tmp_path / "s").code == 0
    assert "needs the preview at weights low=1" in refused("show", tmp_path / "s", "--floor", "all>=97%")
    assert "the knee needs every single-task model's metrics, and lacks low's" in refused(
        "show", tmp_path / "s", "--prefer", "knee"
    )


def test_the_demo_minds_a_study_that_is_there(copied: Path) -> None:
    assert "was made by another recipe" in refused("demo", "--study", copied / "study", "--no-open")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    recipe = digits_recipe(tmp_path)
    message = refused("run", recipe, "--study", "/proc/x")
    assert "cannot make the study folder /proc/x" in message
    assert "name another folder with --study" in message
    assert "cannot make the study folder" in refused("run", recipe, "--study", recipe)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [4_000, 70_000])
def test_a_full_disk(tmp_path: Path, limit: int) -> None:
    """A real limit on file size stands in for a full disk: first for the new database, then for the report."""
    recipe = digits_recipe(tmp_path, finetune_steps="2", preview_points="3", joint_points="0")
    code = (
        "import resource, signal, sys; from foretaste.cli.entry import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "run", str(recipe), "--study", str(tmp_path / "study"), "--json"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert (found.returncode, found.stdout) == (2, ""), found.stderr
    assert "Traceback" not in found.stderr
    assert len(re.findall("^error: ", found.stderr, re.MULTILINE)) == 1
    assert "free some space or choose another place, then run again" in found.stderr
    assert not list((tmp_path / "study").rglob("*.tmp"))
    assert foretaste("run", recipe, "--study", tmp_path / "study", "--json").code == 0


DIVERGING = """
import torch
from torch import nn
from foretaste.metrics import METRICS
from foretaste.task import Rows, Task

def problem():
    torch.manual_seed(0)
    rows = Rows(SCALE * torch.randn(40, 4), torch.arange(40) % 2)
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2))
    return model, [Task(name, rows, rows, [METRICS["accuracy"]]) for name in NAMES]
"""


@pytest.mark.parametrize(
    ("optimizer", "rate", "scale", "states"),
    [("sgd", "1.0e+4", "1", 1), ("adamw", "1.0e+29", "1", 1), ("sgd", "1.0e+29", "1e12", 0)],
)
def test_a_loss_that_becomes_nan(tmp_path: Path, optimizer: str, rate: str, scale: str, states: int) -> None:
    """Exit code 1: the message says what to lower, and a state that is kept holds finite numbers."""
    name = f"diverging_{optimizer}_{scale}"
    written(tmp_path / f"{name}.py", DIVERGING.replace("NAMES", "'ab'").replace("SCALE", scale))
    model = f"name: a\nsnapshot_seconds: 0\nmodel: {{source: function, call: '{name}:problem'}}\n"
    training = f"{{steps: 60, batch_size: 4, optimizer: {optimizer}, learning_rate: {rate}, warmup: 0.5, clip: null}}"
    found = foretaste(
        "run", written(tmp_path / "r.yaml", f"{model}finetune: {training}\n"), "--study", tmp_path / "study"
    )
    assert found.code == 1, found
    assert found.out == ""
    assert "; lower learning_rate (now " in found.err
    assert (str(tmp_path / "study" / "running") if states else "no good state was reached") in found.err
    kept = list((tmp_path / "study" / "running").glob("*.safetensors"))
    assert len(kept) == 2 * states  # both tasks' runs fail: one does not keep the other from being tried
    for file in kept:
        assert all(
            bool(torch.isfinite(tensor).all()) for key, tensor in load_file(file).items() if key.startswith("params/")
        )


def test_a_function_that_gives_one_name_twice(tmp_path: Path) -> None:
    written(tmp_path / "twice.py", DIVERGING.replace("NAMES", "'aa'").replace("SCALE", "1"))
    recipe = written(tmp_path / "r.yaml", "name: a\nmodel: {source: function, call: 'twice:problem'}\n")
    assert "two tasks have one name: a, a; give each its own" in refused("run", recipe, "--study", tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_words_that_are_not_variables(tmp_path: Path) -> None:
    assert "--var 'data' is not NAME=VALUE" in refused("check", digits_recipe(tmp_path), "--var", "data")
