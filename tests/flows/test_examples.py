"""Every template that `init` writes and every example that `--help` shows, run as a user would run them."""

import re
import shlex
import shutil
import signal
from pathlib import Path

import pytest
import typer
import yaml

from checkpoints import Checkpoints, chats, parquet, sentences, table, translations
from commands import foretaste, spawned
from foretaste.cli.app import app

pytestmark = pytest.mark.slow

SMALL = {"finetune": {"steps": 5}, "curvature": {"max_examples": 20}, "preview": {"points": 6}, "joint": {"points": 3}}
PROBLEM = """from problems import blobs, linear
def problem():
    return linear(), [blobs("movies", 1), blobs("news", 2)]
"""


def examples() -> dict[str, list[str]]:
    """The words after `foretaste`, by command."""
    found = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]  # it is a group
        text = re.fullmatch(r"Example: \[bold\]foretaste (.*)\[/\]", command.epilog)
        assert text, f"{name} has no example"
        found[name] = shlex.split(text[1])
    return found


def smaller(path: Path, **changes: object) -> None:
    """The recipe with so little work that a test can do it."""
    plan = yaml.safe_load(path.read_text())
    for part, fields in {**SMALL, **changes}.items():
        plan[part] = {**(plan.get(part) or {}), **fields} if isinstance(fields, dict) else fields
    path.write_text(yaml.safe_dump(plan))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, checkpoints: Checkpoints) -> Path:
    """What the examples name: a recipe of movies and news, its finished study, and a Llama with two experts."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "my_movies.py").write_text(PROBLEM)
    recipe = folder / "study.yaml"
    recipe.write_text(
        yaml.safe_dump(
            {"name": "movies and news", "model": {"source": "function", "call": "my_movies:problem"}, **SMALL}
        )
    )
    for name in ("llama", "llama-code", "llama-math"):
        shutil.copytree(checkpoints.llama, folder / name)
    assert foretaste("run", recipe, "--study", folder / "study.study").code == 0
    return folder


@pytest.mark.parametrize("command", [name for name in examples() if name not in ("demo", "explore", "init")])
def test_the_example_of(command: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    found = foretaste(*examples()[command])
    assert found.code == 0, found.err
    assert found.out


def test_the_example_of_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert foretaste(*examples()["init"]).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_the_example_of_explore(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    process = spawned(*examples()["explore"], "--no-open")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("exploring study.study at http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    process.communicate()


def test_the_demo_has_its_own_test() -> None:
    assert examples()["demo"] == ["demo"]


def data_for(folder: Path, plan: dict[str, dict[str, dict[str, str]]], kind: str) -> None:
    """Files where the template says they are."""
    for name, task in plan["tasks"].items():
        for seed, part in enumerate(("train", "validation"), start=len(name)):
            path = folder / task[part]
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "image":
                parquet(path, 12, seed, ("a", "b"))
            elif kind == "text":
                table(path, sentences(24, seed))
            elif "messages" in task:
                table(path, chats(12, seed))
            elif kind == "seq2seq":
                table(path, translations(12, seed, 1))
            else:
                table(
                    path, [{"prompt": row["source"], "completion": row["target"]} for row in translations(12, seed, 1)]
                )


@pytest.mark.parametrize("kind", ["text", "image", "causal-lm", "seq2seq"])
def test_the_template_of(kind: str, checkpoints: Checkpoints, tmp_path: Path) -> None:
    """As it is written, but for the model's place and the amount of work."""
    recipe = tmp_path / "recipe.yaml"
    assert foretaste("init", recipe, "--kind", kind).code == 0
    assert foretaste("check", recipe).code == 2  # it names no model yet
    model = {
        "text": checkpoints.bert,
        "image": checkpoints.vit,
        "causal-lm": checkpoints.llama,
        "seq2seq": checkpoints.t5,
    }[kind]
    data_for(tmp_path, yaml.safe_load(recipe.read_text()), kind)
    smaller(recipe, model={"path": str(model), **({} if kind == "image" else {"max_length": 32})}, joint={"points": 1})
    if kind in ("causal-lm", "seq2seq"):
        smaller(recipe, model={"max_new_tokens": 8}, joint={"points": 1})
    found = foretaste("run", recipe, "--study", tmp_path / "study")
    assert found.code == 0, found.err


@pytest.mark.parametrize("kind", ["function", "digits"])
def test_the_template_that_needs_nothing_else(kind: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    told = foretaste("init", recipe, "--kind", kind).out
    assert ("my_problem.py, the function that it calls" in told) == (kind == "function")
    assert foretaste("check", recipe).code == 0
    smaller(recipe, joint={"points": 1})
    assert foretaste("run", recipe, "--study", tmp_path / "study").code == 0


def test_a_module_of_the_user_s_is_kept(tmp_path: Path) -> None:
    (tmp_path / "my_problem.py").write_text("mine")
    assert "my_problem.py, which exists already" in foretaste("init", tmp_path / "r.yaml", "--kind", "function").out
    assert "my_problem.py" in foretaste("init", tmp_path / "r.yaml", "--kind", "function", "--force").out
    assert (tmp_path / "my_problem.py").read_text() == "mine"
