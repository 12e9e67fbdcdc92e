"""Commands that write a file or a folder keep what is not theirs, wherever they are told to write."""

import json
import os
import sqlite3
from pathlib import Path

import pytest

from commands import Ran, contents, foretaste, refused
from problems import digits_recipe

ODD = ["a?b=c", "a#b", "a%41b", "a b", "new\nline", "späte 'Läufe'", 'a"b', ":memory:", "file:x?mode=memory"]


def previewed(folder: Path, study: Path) -> Ran:
    recipe = digits_recipe(folder, finetune_steps="2", preview_points="3", preview_methods="[simple]", joint_points="0")
    found = foretaste("preview", recipe, "--study", study)
    assert found.code == 0, found.err
    return found


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("writing")
    previewed(folder, folder / "study")
    return folder / "study"


@pytest.mark.slow
def test_a_report_replaces_only_reports(study: Path, tmp_path: Path) -> None:
    thesis, out = tmp_path / "thesis.html", tmp_path / "report.html"
    thesis.write_text("<title>foretaste: years of work</title>")
    assert "was not written by foretaste" in refused("report", study, "--out", thesis)
    assert thesis.read_text() == "<title>foretaste: years of work</title>"
    for _ in range(2):
        assert foretaste("report", study, "--out", out).code == 0
    assert foretaste("report", study, "--out", thesis, "--overwrite").code == 0
    assert thesis.read_bytes() == out.read_bytes()
    out.write_text(
        out.read_text().replace('<meta name="generator" content="foretaste">', "")
    )  # as earlier versions wrote it
    assert foretaste("report", study, "--out", out).code == 0


def test_a_study_keeps_its_files(study: Path, tmp_path: Path) -> None:
    before = contents(study)
    for name in ("study.db", "new.html", "tensors/x.html"):
        assert "only the study itself writes to" in refused("report", study, "--out", study / name, "--overwrite")
        assert "only the study itself writes to" in refused("init", study / name, "--force")
    recipe = digits_recipe(tmp_path)
    assert "is within the study" in refused("run", recipe, "--study", study / "inner")
    for to in (study / "exports", study / "tensors" / "model", study / "model"):
        assert "only the study itself writes to" in refused(
            "export", recipe, "--study", tmp_path / "own", "--to", to, "--weights", "uniform"
        )
    assert contents(study) == before


@pytest.mark.parametrize("command", [["report", "STUDY", "--overwrite", "--out"], ["init", "--force"]])
def test_special_places(study: Path, tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = [str(study) if word == "STUDY" else word for word in command]
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("first").symlink_to("second")
    Path("second").symlink_to("first")
    for place in (".", "pipe", "first", "/dev/null", "a" * 300, "nowhere/x", str(tmp_path)):
        refused(*words, place)
    assert Path("/dev/null").is_char_device()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "pipe", "second"]


def test_exports_to_special_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = digits_recipe(
        tmp_path, finetune_steps="2", preview_points="3", preview_methods="[simple]", joint_points="0"
    )
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("first").symlink_to("second")
    Path("second").symlink_to("first")
    for place in (".", "pipe", "first", "/dev/null", "a" * 300, os.fsdecode(b"\xff")):
        refused("export", recipe, "--to", place, "--weights", "uniform", "--overwrite")
    assert not (tmp_path / "a").exists()


def test_another_programs_database_is_no_study(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    with sqlite3.connect(tmp_path / "s" / "study.db") as connection:
        connection.execute("CREATE TABLE trials (id)")
    connection.close()
    before = contents(tmp_path / "s")
    message = refused("preview", digits_recipe(tmp_path), "--study", tmp_path / "s")
    assert "is another program's database (its tables are trials)" in message
    assert contents(tmp_path / "s") == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_a_study_keeps_everything_in_its_folder_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "place").mkdir()
    before = set(tmp_path.iterdir())
    previewed(tmp_path, tmp_path / "place" / name)
    assert [path.name for path in (tmp_path / "place").iterdir()] == [name]
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "small.yaml"}
    assert (tmp_path / "place" / name / "study.db").stat().st_size > 10_000
    assert foretaste("show", tmp_path / "place" / name).code == 0
    assert json.loads(foretaste("show", tmp_path / "place" / name, "--json").out)["rows"]
    assert foretaste("report", tmp_path / "place" / name).code == 0


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    study = tmp_path / os.fsdecode(b"\xff\xfe")
    assert "is not valid UTF-8" in refused("preview", digits_recipe(tmp_path), "--study", study)
    assert not study.exists()
