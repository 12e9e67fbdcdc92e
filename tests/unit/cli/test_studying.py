import json
import shlex
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from commands import COMMANDS, ENVIRONMENT, foretaste, help_of, parse_json
from foretaste.method_table import METHOD_TABLE
from foretaste.recipe import parse
from problems import digits_recipe


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    found = help_of(command)
    assert found.exit_code == 0
    assert f"Example: foretaste {command}" in found.output
    assert "--json" in found.output


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_comes_at_once(arguments: list[str]) -> None:
    """Nothing heavy is imported before there is work."""
    code = (
        "import sys\nfrom foretaste.cli.entry import main\n"
        f"sys.argv = ['foretaste', *{arguments}]\n"
        "try:\n    main()\nexcept SystemExit as leaving:\n    assert not leaving.code\n"
        "print('HEAVY', sorted({'torch', 'numpy', 'sqlalchemy', 'plotly', 'sklearn'} & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert found.stdout.endswith("HEAVY []\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["run"],
        ["init", "--kind", "audio"],
        ["show", "x", "--method", "kfac"],
        ["compare", "x", "--sharpen", "0"],
    ],
)
def test_usage_errors_end_with_2(arguments: list[str]) -> None:
    found = foretaste(*arguments)
    assert (found.code, found.out) == (2, "")
    assert "Usage: " in found.err


def test_the_next_command_is_one_that_works(folder: Path) -> None:
    found = foretaste("show", folder / "study").out.splitlines()[-1]
    words = found.removeprefix("next: foretaste ").split()
    assert foretaste(*words).code == 0


def test_confirm_without_weights_takes_the_recommended_ones(folder: Path) -> None:
    rows = json.loads(foretaste("confirm", folder / "small.yaml", "--study", folder / "study", "--json").out)
    chosen = json.loads(foretaste("show", folder / "study", "--json").out)["recommendation"]["weights"]
    assert [row["weights"] for row in rows] == [chosen] * 3
    assert [row["fidelity"] for row in rows] == ["preview", "preview", "joint"]


def test_help_names_all_methods() -> None:
    assert all(name in help_of("preview").output for name in METHOD_TABLE)


def test_any_method_can_be_previewed_shown_and_reported(folder: Path) -> None:
    recipe, study = folder / "small.yaml", folder / "study"
    rows = json.loads(foretaste("preview", recipe, "--study", study, "--method", "kronecker", "--json").out)
    assert {row["method"] for row in rows} == {"kronecker"}
    shown = json.loads(foretaste("show", study, "--method", "kronecker", "--json").out)
    assert shown["method"] == "kronecker"
    assert shown["recommendation"]["basis"].endswith("previews (kronecker)")
    assert foretaste("report", study, "--method", "kronecker", "--out", folder / "kronecker.html").code == 0


def test_the_report_says_what_the_recommendation_rests_on(folder: Path) -> None:
    words = " ".join(foretaste("show", folder / "study").out.replace("│", " ").split())
    assert "3 single-task models and previews (anchored, " in words
    assert "The previewed metrics are off by" in words


def test_compare_takes_methods_and_steps(folder: Path) -> None:
    command = [
        "compare",
        folder / "small.yaml",
        "--study",
        folder / "study",
        "--method",
        "simple",
        "--method",
        "diagonal",
        "--sharpen",
        1,
    ]
    shown, data = foretaste(*command), foretaste(*command, "--json")
    assert (shown.code, data.code) == (0, 0), shown.err + data.err
    found = parse_json(data.out)
    assert isinstance(found, dict)
    assert [each["method"] for each in found["methods"]] == [
        "simple",
        "simple+1",
        "diagonal",
        "diagonal+1",
        "pretrained+1",
    ]
    assert all(each["method"] in shown.out and each["title"] in shown.out for each in found["methods"])
    last = f"next: foretaste preview {folder / 'small.yaml'} --method {found['best']} --study {folder / 'study'}"
    assert shown.out.splitlines()[-1] == last


def test_preview_without_weights_is_the_whole_grid(folder: Path) -> None:
    rows = json.loads(
        foretaste("preview", folder / "small.yaml", "--study", folder / "study", "--method", "simple", "--json").out
    )
    assert len(rows) == 4  # three corners and uniform weights
    assert {row["method"] for row in rows} == {"simple"}


def test_the_study_s_folder_is_named_after_the_recipe(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert foretaste("fit", folder / "small.yaml").code == 0
    assert (tmp_path / "small.study" / "study.db").is_file()


@pytest.mark.parametrize("kind", ["text", "image", "causal-lm", "seq2seq", "function", "digits"])
def test_init_writes_a_recipe(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "[red]r.yaml"
    found = foretaste("init", path, "--kind", kind)
    assert (found.code, found.err) == (0, "")
    assert f"next: edit it, then foretaste check {shlex.quote(str(path))}" in found.out
    assert parse(path.read_text()).name
    assert json.loads(foretaste("init", path, "--force", "--json").out) == {"written": str(path)}


def test_init_writes_the_schema(tmp_path: Path) -> None:
    assert foretaste("init", tmp_path / "s.json", "--schema").code == 0
    jsonschema.Draft202012Validator.check_schema(json.loads((tmp_path / "s.json").read_text()))


def test_variables_reach_the_recipe(tmp_path: Path) -> None:
    recipe = digits_recipe(tmp_path, joint_points="${points}")
    found = foretaste("check", recipe, "--var", "points=1", "--json")
    assert found.code == 0, found.err
    assert json.loads(found.out)["trainings"] == [3, 2]


def test_opening_the_report(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    foretaste("report", folder / "study", "--open")
    foretaste("run", folder / "small.yaml", "--study", folder / "study", "--open")
    assert opened == [(folder / "study" / "report.html").resolve().as_uri()] * 2


def test_export_writes_the_recommended_preview_or_what_is_asked_for(folder: Path, tmp_path: Path) -> None:
    command = ["export", folder / "small.yaml", "--study", folder / "study"]
    shown = foretaste(*command, "--to", tmp_path / "best")
    assert shown.code == 0, shown.err
    chosen = parse_json(foretaste("show", folder / "study", "--json").out)
    facts = json.loads((tmp_path / "best" / "foretaste.json").read_text())
    assert isinstance(chosen, dict)
    assert facts["weights"] == pytest.approx(chosen["recommendation"]["weights"])
    assert f"wrote {tmp_path / 'best'}: anchored at " in " ".join(shown.out.split())
    assert (tmp_path / "best" / "model.safetensors").is_file()
    found = foretaste(*command, "--to", tmp_path / "best", "--weights", "uniform", "--joint", "--overwrite", "--json")
    assert found.code == 0, found.err
    assert json.loads(found.out)["method"] == "joint"
    assert "exists already" in foretaste(*command, "--to", tmp_path / "best", "--weights", "uniform").err


def test_a_study_is_shown_without_torch_or_scipy(folder: Path) -> None:
    """They take longer to import than the table takes to make."""
    code = (
        "import sys; sys.modules['torch'] = sys.modules['scipy'] = None; sys.argv = ['foretaste', 'show',"
        " sys.argv[1]]\nfrom foretaste.cli.entry import main; main()"
    )
    command = [sys.executable, "-c", code, str(folder / "study")]
    found = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert "recommendation" in found.stdout
    assert found.stderr == ""


def test_check_shows_one_row(folder: Path) -> None:
    recipe = folder / "small.yaml"
    shown = foretaste("check", recipe, "--show", "mid", "--row", 2)
    assert shown.code == 0, shown.err
    assert shown.out.startswith("Row 2 of ")
    assert "tensor of 64" in shown.out
    record = json.loads(foretaste("check", recipe, "--show", "mid", "--row", 2, "--json").out)
    assert (record["task"], record["row"], record["facts"]["inputs"]) == ("mid", 2, "tensor of 64")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--row", 2], "give the row's task too, as in --show TASK --row 3"),
        (["--show", "mid", "--row", 0], "greater than or equal to 1"),
        (["--show", "mild"], "there is no task 'mild'; the tasks are low, mid, high"),
        (["--show", "mid", "--row", 9999], "row 9999 is none of them"),
    ],
)
def test_rows_that_cannot_be_shown(folder: Path, options: list[object], words: str) -> None:
    ran = foretaste("check", folder / "small.yaml", *options)
    assert (ran.code, ran.out) == (2, "")
    assert words in " ".join(ran.err.replace("│", " ").split())
